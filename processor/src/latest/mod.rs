//! The projection: the latest state per symbol, which can be thrown away and written again.
//!
//! Keys: `PREFIX:{PIPELINE}:REVISION:SYMBOL` (hash: `version` and the fields), `PREFIX:{PIPELINE}:REVISION:markers`
//! (hash: partition → offset up to which everything is published), `PREFIX:{PIPELINE}:live`.

pub mod memory;
pub mod redis;

use std::collections::BTreeMap;
use std::time::Duration;

use assay_engine::SymbolView;
use async_trait::async_trait;

pub use memory::MemoryLatest;
pub use redis::{RedisLatest, RedisOptions};

/// What one partition wants published.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Partition.
    pub partition: i32,
    /// Everything below is published once this call moved the marker.
    pub marker: i64,
    /// `views` holds every symbol changed at or after this offset; `None`: every symbol there is. The marker moves only
    /// where the stored one is at least this: after a loss, a publish of changes alone must not hide what is missing.
    pub since: Option<i64>,
    /// Changed symbols.
    pub views: Vec<SymbolView>,
}

/// What went wrong at the projection.
#[derive(Debug, thiserror::Error)]
pub enum LatestError {
    /// Unreachable, timed out or refused.
    #[error("the latest-state store cannot be reached: {0}; check results.redis and the server")]
    Unavailable(String),
    /// The circuit is open: nothing was sent.
    #[error("the latest-state store is not asked for another {0:?} after repeated failures")]
    NotAsked(Duration),
    /// The server answers and does not let us in: a setting has to be changed.
    #[error("the latest-state store gives no access: {0}")]
    NoAccess(String),
    /// `maxmemory-policy` is not `noeviction`.
    #[error("maxmemory-policy is {0}; set it to noeviction, or keys vanish silently")]
    Evicting(String),
}

/// Where the latest state per symbol lives.
#[async_trait]
pub trait LatestState: Send + Sync {
    /// Writes views whose version is newer than the stored one, then the markers, in one atomic call. Gives the partitions
    /// whose stored marker is missing or behind `since`: something was lost there, and they must be published whole.
    async fn publish(&self, revision: &str, publishes: &[Publish]) -> Result<Vec<i32>, LatestError>;

    /// The markers by partition; a missing one is not in the map.
    async fn markers(&self, revision: &str) -> Result<BTreeMap<i32, i64>, LatestError>;

    /// The revision that readers follow.
    async fn live(&self) -> Result<Option<String>, LatestError>;

    /// Points readers at a revision.
    async fn set_live(&self, revision: &str) -> Result<(), LatestError>;

    /// Deletes the keys of a retired revision in bounded chunks.
    async fn retire(&self, revision: &str) -> Result<(), LatestError>;

    /// Whether it answers and never evicts.
    async fn check(&self) -> Result<(), LatestError>;

    /// Every key and field of a revision in a canonical text form, sorted.
    async fn dump(&self, revision: &str) -> Result<String, LatestError>;
}

/// The fields of a symbol's hash.
fn hash_of(view: &SymbolView) -> Vec<(String, String)> {
    let fields = view
        .last
        .iter()
        .chain(view.closed.iter())
        .map(|(field, value)| ((*field).to_owned(), value.clone()));
    std::iter::once(("version".to_owned(), view.version.to_string()))
        .chain(fields)
        .collect()
}

/// One line per key: its last part and its fields in order, separated by tabs.
fn lines(keys: &BTreeMap<String, BTreeMap<String, String>>) -> String {
    keys.iter().fold(String::new(), |text, (key, fields)| {
        let fields = fields
            .iter()
            .map(|(field, value)| format!("\t{field}={}", value.escape_default()));
        text + key + &fields.collect::<String>() + "\n"
    })
}
