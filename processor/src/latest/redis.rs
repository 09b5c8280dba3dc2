//! The projection in Redis. One script call writes a publish whole or, on an error, without its markers.
//!
//! All keys of a pipeline carry one hash tag. The URL may hold a password and is never logged or put into an error.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, IntoConnectionInfo, RedisError, Script};

use super::{LatestError, LatestState, Publish, lines};

/// Keys deleted or read per call: bounds the time for which one call keeps the server from others.
const CHUNK: usize = 500;

/// A reply that takes longer counts as lost; the marker tells later what was written.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://user:password@host:port/database`.
    pub url: String,
    /// First part of every key.
    pub key_prefix: String,
    /// Pipeline uid; the hash tag.
    pub pipeline: String,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            url: _,
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
    /// [`LatestError::Unavailable`] where the URL cannot be read.
    pub fn new(options: &RedisOptions) -> Result<Self, LatestError> {
        let unreadable = |_| LatestError::Unavailable("the URL cannot be read; expected redis://…".into());
        let info = options.url.as_str().into_connection_info().map_err(unreadable)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = redis::Client::open(info).map_err(unreadable)?;
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

// By value, so that it can be named in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn unavailable(error: RedisError) -> LatestError {
    LatestError::Unavailable(error.to_string())
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
