//! Secrets, read one by one by name, and again when what was read is too old. No list, no watch, nothing that shows their content.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_crds::spec::{ClientCertificateSecret, KafkaSpec, PostgresSpec, RedisSpec, SecretKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::kafka::KafkaCredentials;

/// A Secret that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is not there.
    #[error("Secret {name} is missing in namespace {namespace}; create it, or correct {field}")]
    Missing {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Field that names it.
        field: &'static str,
    },
    /// It lacks the key.
    #[error("Secret {name} has no key {key}; add it, or correct {field}")]
    NoKey {
        /// Name.
        name: String,
        /// Key.
        key: String,
        /// Field that names it.
        field: &'static str,
    },
    /// The API server refused or did not answer.
    #[error(
        "Secret {name} cannot be read: {reason}; trying again: the API server must answer, and the operator's role must let it get Secrets in this namespace"
    )]
    Unreadable {
        /// Name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl SecretError {
    /// Whether it may be over by itself: the API server may be away for a moment, and a Secret that is not there stays so.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Missing { .. } | Self::NoKey { .. } => false,
        }
    }
}

/// A credential: shows as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Credential {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the client that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One Secret's content and version.
struct Content {
    version: String,
    data: BTreeMap<String, Vec<u8>>,
}

type Read = (Instant, Arc<Content>);

/// Secrets read lately.
pub struct Secrets {
    client: Client,
    /// How long what was read is believed.
    age: Duration,
    /// By namespace and name, with the time of reading.
    read: Mutex<HashMap<(String, String), Read>>,
}

/// How to reach the results' database. Shows no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresCredentials {
    /// URL with user and password.
    pub url: Credential,
    /// Certificates.
    pub tls: TlsMaterial,
}

/// Certificates of one server's connection. Shows no content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsMaterial {
    /// Client certificate and private key, PEM.
    pub identity: Option<(Credential, Credential)>,
    /// Certificate authorities, PEM.
    pub authority: Option<Credential>,
}

/// What the Secrets of one pipeline hold, by server: whoever needs one server does not wait for the Secrets of another.
#[derive(Debug, Clone)]
pub struct PipelineSecrets {
    /// Login to Kafka.
    pub kafka: Result<KafkaCredentials, SecretError>,
    /// URL of the results' database, and its certificates.
    pub postgres: Result<PostgresCredentials, SecretError>,
    /// Only the processors use what is in them.
    pub redis: Result<(), SecretError>,
    /// Hash of the versions of all Secrets that could be read: another one rolls the pods.
    pub digest: String,
}

impl PipelineSecrets {
    /// The first that cannot be used.
    #[must_use]
    pub fn problem(&self) -> Option<&SecretError> {
        let Self {
            kafka,
            postgres,
            redis,
            digest: _,
        } = self;
        let problems = [kafka.as_ref().err(), postgres.as_ref().err(), redis.as_ref().err()];
        problems.into_iter().flatten().next()
    }
}

/// Reads Secrets of one namespace and remembers their versions.
struct Reader<'a> {
    secrets: &'a Secrets,
    namespace: &'a str,
    versions: BTreeMap<String, String>,
}

impl Secrets {
    /// With nothing read yet.
    #[must_use]
    pub fn new(client: Client, age: Duration) -> Self {
        Self {
            client,
            age,
            read: Mutex::default(),
        }
    }

    /// Everything that a pipeline's Secrets hold.
    pub async fn of_pipeline(&self, namespace: &str, spec: &assay_crds::StrategyPipelineSpec) -> PipelineSecrets {
        let mut reader = Reader {
            secrets: self,
            namespace,
            versions: BTreeMap::new(),
        };
        PipelineSecrets {
            kafka: reader.kafka(&spec.kafka).await,
            postgres: reader.postgres(&spec.results.postgres).await,
            redis: reader.redis(&spec.results.redis).await,
            digest: reader.digest(),
        }
    }

    async fn content(&self, namespace: &str, name: &str, field: &'static str) -> Result<Arc<Content>, SecretError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(content) = self.remembered(&key) {
            return Ok(content);
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get_opt(name).await.map_err(|error| SecretError::Unreadable {
            name: name.to_owned(),
            reason: error.to_string(),
        })?;
        let Some(secret) = secret else {
            return Err(SecretError::Missing {
                namespace: key.0,
                name: key.1,
                field,
            });
        };
        let data = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, bytes)| (key, bytes.0))
            .collect();
        let content = Arc::new(Content {
            version: secret.metadata.resource_version.unwrap_or_default(),
            data,
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|_, (when, _)| when.elapsed() < self.age);
        read.insert(key, (Instant::now(), Arc::clone(&content)));
        Ok(content)
    }

    fn remembered(&self, key: &(String, String)) -> Option<Arc<Content>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, content) = read.get(key)?;
        (when.elapsed() < self.age).then(|| Arc::clone(content))
    }
}

impl Reader<'_> {
    async fn key(&mut self, secret: &SecretKey, field: &'static str) -> Result<String, SecretError> {
        self.text(&secret.name, &secret.key, field).await
    }

    async fn text(&mut self, name: &str, key: &str, field: &'static str) -> Result<String, SecretError> {
        let content = self.secrets.content(self.namespace, name, field).await?;
        self.versions.insert(name.to_owned(), content.version.clone());
        let bytes = content.data.get(key);
        let text = bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .map(|text| text.trim().to_owned());
        text.ok_or_else(|| SecretError::NoKey {
            name: name.to_owned(),
            key: key.to_owned(),
            field,
        })
    }

    async fn postgres(&mut self, spec: &PostgresSpec) -> Result<PostgresCredentials, SecretError> {
        let url = self.key(&spec.secret, "spec.results.postgres.secret").await?;
        let fields = [
            "spec.results.postgres.caSecret",
            "spec.results.postgres.clientCertificateSecret",
        ];
        let (authority, client) = (spec.ca_secret.as_ref(), spec.client_certificate_secret.as_ref());
        Ok(PostgresCredentials {
            url: Credential(url),
            tls: self.tls(authority, client, fields).await?,
        })
    }

    async fn redis(&mut self, spec: &RedisSpec) -> Result<(), SecretError> {
        self.key(&spec.secret, "spec.results.redis.secret").await?;
        let fields = [
            "spec.results.redis.caSecret",
            "spec.results.redis.clientCertificateSecret",
        ];
        let (authority, client) = (spec.ca_secret.as_ref(), spec.client_certificate_secret.as_ref());
        self.tls(authority, client, fields).await.map(drop)
    }

    /// `fields` name the authority's and the client certificate's Secret.
    async fn tls(
        &mut self,
        authority: Option<&SecretKey>,
        client: Option<&ClientCertificateSecret>,
        fields: [&'static str; 2],
    ) -> Result<TlsMaterial, SecretError> {
        let mut material = TlsMaterial::default();
        if let Some(secret) = authority {
            material.authority = Some(Credential(self.key(secret, fields[0]).await?));
        }
        if let Some(secret) = client {
            let certificate = self.text(&secret.name, &secret.certificate_key, fields[1]).await?;
            let private_key = self.text(&secret.name, &secret.private_key_key, fields[1]).await?;
            material.identity = Some((Credential(certificate), Credential(private_key)));
        }
        Ok(material)
    }

    async fn kafka(&mut self, spec: &KafkaSpec) -> Result<KafkaCredentials, SecretError> {
        let Some(security) = &spec.security else {
            return Ok(KafkaCredentials::default());
        };
        let mut credentials = KafkaCredentials::default();
        if let Some(secret) = &security.credentials_secret {
            let field = "spec.kafka.security.credentialsSecret";
            let user = self.text(&secret.name, &secret.username_key, field).await?;
            credentials.login = Some((user, self.text(&secret.name, &secret.password_key, field).await?));
        }
        let fields = [
            "spec.kafka.security.caSecret",
            "spec.kafka.security.clientCertificateSecret",
        ];
        let (authority, client) = (security.ca_secret.as_ref(), security.client_certificate_secret.as_ref());
        credentials.tls = self.tls(authority, client, fields).await?;
        Ok(credentials)
    }

    fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in self.versions.iter().flat_map(|(name, version)| [name, version]) {
            hasher.update(part.as_bytes()).update(b"\n");
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}
