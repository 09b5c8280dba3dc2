//! How to reach the brokers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// librdkafka keys that Assay sets itself: another value would break a guarantee, so each is refused by name.
/// The CEL rule of `clientConfig` repeats this list; a test keeps them equal.
pub const OWNED_CLIENT_KEYS: [&str; 21] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// Beginnings of further keys that are refused: everything about logins, and Java's trust stores, which librdkafka does not read.
/// Whatever they hold would stand in the manifest for all to read.
pub const OWNED_CLIENT_PREFIXES: [&str; 2] = ["sasl.", "ssl.truststore."];

/// Whether Assay sets the key itself, and `clientConfig` may not.
#[must_use]
pub fn is_owned_client_key(key: &str) -> bool {
    OWNED_CLIENT_KEYS.contains(&key) || OWNED_CLIENT_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The Kafka cluster that holds the trades, and how to log in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Brokers to start from, as host:port, separated by commas.
    #[schemars(
        length(min = 3, max = 2048),
        regex(pattern = r"^[^\s,:]+:[0-9]{1,5}(,[^\s,:]+:[0-9]{1,5})*$")
    )]
    pub bootstrap_servers: String,
    /// Encryption and login; left out, the connection is plain text without login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SecuritySpec>,
    /// Start of every consumer group's name: PREFIX.NAMESPACE.NAME.REVISION. Grant the ACL for groups by this prefix.
    #[serde(default = "default_group_prefix")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "groupPrefix is immutable: progress of the running revisions belongs to the old names; create another pipeline"},
    ]))]
    pub group_prefix: String,
    /// How processors agree on who reads which partition: Classic, among themselves, with any Kafka; Consumer, by the brokers
    /// (KIP-848), from Kafka 4.0 on. The partitions of a killed processor are free after 6 s with Classic, with Consumer
    /// after the brokers' group.consumer.session.timeout.ms (45 s by default).
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// Further librdkafka settings by their librdkafka names. Those that Assay owns are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [
        {
            "rule": "self.all(key, !key.startsWith('sasl.') && !key.startsWith('ssl.truststore.') && !(key in ['auto.offset.reset', 'bootstrap.servers', 'enable.auto.commit', 'enable.auto.offset.store', 'group.id', 'group.instance.id', 'group.protocol', 'isolation.level', 'metadata.broker.list', 'partition.assignment.strategy', 'security.protocol', 'session.timeout.ms', 'ssl.ca.location', 'ssl.ca.pem', 'ssl.certificate.location', 'ssl.certificate.pem', 'ssl.key.location', 'ssl.key.password', 'ssl.key.pem', 'ssl.keystore.location', 'ssl.keystore.password']))",
            "message": "clientConfig holds a key that Assay owns (auto.offset.reset, bootstrap.servers, enable.auto.commit, enable.auto.offset.store, group.id, group.instance.id, group.protocol, isolation.level, metadata.broker.list, partition.assignment.strategy, sasl.*, security.protocol, session.timeout.ms, or a file, certificate, key or password of ssl.*); remove it: login and certificates belong into kafka.security, the protocol into kafka.groupProtocol",
        },
    ]))]
    pub client_config: BTreeMap<String, String>,
}

impl KafkaSpec {
    /// The consumer group of a revision: `PREFIX.NAMESPACE.NAME.REVISION`. Processors join it, the operator watches it.
    #[must_use]
    pub fn consumer_group(&self, namespace: &str, name: &str, revision: &str) -> String {
        format!("{}.{namespace}.{name}.{revision}", self.group_prefix)
    }
}

fn default_group_prefix() -> String {
    "assay".to_owned()
}

/// Protocol of the consumer group. The running processors may change over to the other one, pod by pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum GroupProtocol {
    /// The members agree among themselves.
    #[default]
    Classic,
    /// The brokers assign.
    Consumer,
}

/// Encryption and login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!self.protocol.startsWith('SASL') || (has(self.mechanism) && has(self.credentialsSecret))",
        "message": "a SASL protocol needs mechanism and credentialsSecret",
    },
    {
        "rule": "self.protocol.startsWith('SASL') || (!has(self.mechanism) && !has(self.credentialsSecret))",
        "message": "mechanism and credentialsSecret need protocol SASL_PLAINTEXT or SASL_SSL",
    },
    {
        "rule": "self.protocol.endsWith('SSL') || (!has(self.clientCertificateSecret) && !has(self.caSecret))",
        "message": "clientCertificateSecret and caSecret need protocol SSL or SASL_SSL",
    },
]))]
pub struct SecuritySpec {
    /// How the connection is secured.
    pub protocol: SecurityProtocol,
    /// SASL mechanism. OAUTHBEARER and MSK IAM are not supported; use SCRAM or mutual TLS there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<SaslMechanism>,
    /// Secret with user name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<CredentialsSecret>,
    /// Secret with the client's certificate, followed by those of intermediate authorities, and its private key without a
    /// passphrase, both PEM, for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret: Option<ClientCertificateSecret>,
    /// Secret with the certificate authorities in PEM that sign the brokers' certificates; left out, the system's are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKey>,
}

/// How a connection to the brokers is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
    /// TLS.
    #[serde(rename = "SSL")]
    Ssl,
    /// Login without encryption.
    #[serde(rename = "SASL_PLAINTEXT")]
    SaslPlaintext,
    /// Login over TLS.
    #[serde(rename = "SASL_SSL")]
    SaslSsl,
}

impl SecurityProtocol {
    /// The value of librdkafka's `security.protocol`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// SASL mechanism. OAUTHBEARER and MSK IAM are not supported; use SCRAM or mutual TLS there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SaslMechanism {
    /// User name and password in clear text: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// The value of librdkafka's `sasl.mechanism`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A Secret with a user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CredentialsSecret {
    /// Name of the Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key that holds the user name.
    #[serde(default = "default_username_key")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: String,
    /// Key that holds the password.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
}

fn default_username_key() -> String {
    "username".to_owned()
}

fn default_password_key() -> String {
    "password".to_owned()
}

/// A Secret with a client certificate and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ClientCertificateSecret {
    /// Name of the Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key that holds the certificate.
    #[serde(default = "default_certificate_key")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_key: String,
    /// Key that holds the private key.
    #[serde(default = "default_private_key_key")]
    #[schemars(length(min = 1, max = 253))]
    pub private_key_key: String,
}

fn default_certificate_key() -> String {
    "user.crt".to_owned()
}

fn default_private_key_key() -> String {
    "user.key".to_owned()
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SecretKey {
    /// Name of the Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
