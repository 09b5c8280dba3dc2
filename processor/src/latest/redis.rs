//! The projection in Redis. One script call writes a publish whole or, on an error, without its markers.
//!
//! All keys of a pipeline carry one hash tag. The URL may hold a password and is never logged or put into an error.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncCommands, Client, ClientTlsConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Script,
    TlsCertificates,
};

use super::{LatestError, LatestState, Publish, lines};
use crate::secret::Secret;
use crate::tls::{Blamed, TlsMaterial, blamed};

/// Keys deleted or read per call: bounds the time for which one call keeps the server from others.
const CHUNK: usize = 500;

/// A reply that takes longer counts as lost; the marker tells later what was written.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://user:password@host:port/database`.
    pub url: String,
    /// Whom to trust, and what to show of oneself; needs `rediss://`.
    pub tls: TlsMaterial,
    /// First part of every key.
    pub key_prefix: String,
    /// Pipeline uid; the hash tag.
    pub pipeline: String,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            url: _,
            tls: _,
            key_prefix,
            pipeline,
        } = self;
        let mut shown = formatter.debug_struct("RedisOptions");
        shown
            .field("key_prefix", key_prefix)
            .field("pipeline", pipeline)
            .finish_non_exhaustive()
    }
}

/// Latest state of one pipeline in Redis.
#[derive(Clone)]
pub struct RedisLatest {
    connection: ConnectionManager,
    script: Script,
    /// `PREFIX:{PIPELINE}`.
    root: String,
}

impl RedisLatest {
    /// Prepares a connection that comes about when first used and again whenever it breaks. Call inside a Tokio runtime.
    ///
    /// # Errors
    /// [`LatestError::Unavailable`] where the URL cannot be read, [`LatestError::NoAccess`] where it and the certificates do not
    /// go together.
    pub fn new(options: &RedisOptions) -> Result<Self, LatestError> {
        let unreadable = |_| LatestError::Unavailable("the URL cannot be read; expected redis://…".into());
        let info = options.url.as_str().into_connection_info().map_err(unreadable)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = client(info, options)?;
        // One attempt per call: waiting and trying again is the caller's policy.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config).map_err(unavailable)?,
            script: Script::new(include_str!("publish.lua")),
            root: format!("{}:{{{}}}", options.key_prefix, options.pipeline),
        })
    }

    fn key(&self, revision: &str, last: &str) -> String {
        format!("{}:{revision}:{last}", self.root)
    }

    fn live_key(&self) -> String {
        format!("{}:live", self.root)
    }

    /// Keys of a revision, about a chunk of them, and where to go on; 0 = that was all.
    async fn scan(&self, revision: &str, cursor: u64) -> Result<(u64, Vec<String>), LatestError> {
        redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{}*", glob_escaped(&self.key(revision, ""))))
            .arg("COUNT")
            .arg(CHUNK)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(unavailable)
    }
}

#[async_trait]
impl LatestState for RedisLatest {
    async fn publish(&self, revision: &str, publishes: &[Publish]) -> Result<Vec<i32>, LatestError> {
        if publishes.is_empty() {
            return Ok(Vec::new());
        }
        let mut invocation = self.script.key(self.key(revision, "markers"));
        invocation.arg(publishes.len());
        for publish in publishes {
            let since = publish.since.map_or_else(String::new, |since| since.to_string());
            invocation.arg(publish.partition).arg(publish.marker).arg(since);
        }
        for view in publishes.iter().flat_map(|publish| &publish.views) {
            invocation.key(self.key(revision, &view.symbol));
            invocation.arg(view.version).arg(view.last.len() + view.closed.len());
            for (field, value) in view.last.iter().chain(view.closed.iter()) {
                invocation.arg(*field).arg(value);
            }
        }
        invocation
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(unavailable)
    }

    async fn markers(&self, revision: &str) -> Result<BTreeMap<i32, i64>, LatestError> {
        self.connection
            .clone()
            .hgetall(self.key(revision, "markers"))
            .await
            .map_err(unavailable)
    }

    async fn live(&self) -> Result<Option<String>, LatestError> {
        self.connection.clone().get(self.live_key()).await.map_err(unavailable)
    }

    async fn set_live(&self, revision: &str) -> Result<(), LatestError> {
        self.connection
            .clone()
            .set(self.live_key(), revision)
            .await
            .map_err(unavailable)
    }

    async fn retire(&self, revision: &str) -> Result<(), LatestError> {
        let mut connection = self.connection.clone();
        let mut cursor = 0;
        loop {
            let (next, keys) = self.scan(revision, cursor).await?;
            if !keys.is_empty() {
                connection.unlink::<_, ()>(keys).await.map_err(unavailable)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// `INFO` rather than `CONFIG GET`: managed servers refuse the latter.
    async fn check(&self) -> Result<(), LatestError> {
        let info: redis::InfoDict = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.connection.clone())
            .await
            .map_err(unavailable)?;
        match info.get::<String>("maxmemory_policy") {
            Some(policy) if policy == "noeviction" => Ok(()),
            Some(policy) => Err(LatestError::Evicting(policy)),
            None => Err(LatestError::Evicting("not told by INFO memory".into())),
        }
    }

    async fn dump(&self, revision: &str) -> Result<String, LatestError> {
        let prefix = self.key(revision, "");
        let mut connection = self.connection.clone();
        let mut hashes = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let (next, keys) = self.scan(revision, cursor).await?;
            for key in keys {
                let hash: BTreeMap<String, String> = connection.hgetall(&key).await.map_err(unavailable)?;
                hashes.insert(key.strip_prefix(&prefix).unwrap_or(&key).to_owned(), hash);
            }
            if next == 0 {
                return Ok(lines(&hashes));
            }
            cursor = next;
        }
    }
}

/// Certificates on a connection that is not encrypted would protect nothing, and nobody would notice.
fn client(info: ConnectionInfo, options: &RedisOptions) -> Result<Client, LatestError> {
    let TlsMaterial { authority, identity } = &options.tls;
    if !options.tls.is_empty() && !options.url.starts_with("rediss:") {
        return Err(LatestError::NoAccess(PLAIN_WITH_CERTIFICATES.into()));
    }
    if !options.url.starts_with("rediss:") {
        return Client::open(info).map_err(unavailable);
    }
    let bytes = |secret: &Secret| secret.expose().as_bytes().to_vec();
    let certificates = TlsCertificates {
        client_tls: identity.as_ref().map(|identity| ClientTlsConfig {
            client_cert: bytes(&identity.certificate),
            client_key: bytes(&identity.private_key),
        }),
        root_cert: authority.as_ref().map(bytes),
    };
    Client::build_with_tls(info, certificates).map_err(|error| no_access(&error, CLIENT_CERTIFICATE))
}

const LOGIN: &str = "correct user and password in the URL of spec.results.redis.secret (ASSAY_REDIS_URL)";
const GRANT: &str = "grant it to the user of spec.results.redis.secret, for the keys spec.results.redis.keyPrefix:*";
const PLAIN_WITH_CERTIFICATES: &str = "certificates are given (spec.results.redis.caSecret or clientCertificateSecret) and the URL of \
                                       spec.results.redis.secret (ASSAY_REDIS_URL) is not encrypted; begin it with rediss://";
const SERVER_CERTIFICATE: &str = "the authorities in spec.results.redis.caSecret (ASSAY_REDIS_CA) must have signed the server's \
                                  certificate, it must not have expired, and it must hold the URL's host";
const CLIENT_CERTIFICATE: &str =
    "correct spec.results.redis.clientCertificateSecret (ASSAY_REDIS_CERTIFICATE, ASSAY_REDIS_PRIVATE_KEY)";

// By value, so that it can be named in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn unavailable(error: RedisError) -> LatestError {
    let remedy = match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => Some(LOGIN),
        (_, Some("NOPERM")) => Some(GRANT),
        _ => blamed(&error.to_string()).map(|side| match side {
            Blamed::Server => SERVER_CERTIFICATE,
            Blamed::Client => CLIENT_CERTIFICATE,
        }),
    };
    match remedy {
        Some(remedy) => no_access(&error, remedy),
        None => LatestError::Unavailable(error.to_string()),
    }
}

fn no_access(error: &RedisError, remedy: &str) -> LatestError {
    LatestError::NoAccess(format!("{error}; {remedy}"))
}

/// Text that a pattern of `SCAN` takes literally.
fn glob_escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    })
}
