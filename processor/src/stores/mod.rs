//! The only truth: result rows and each partition's next offset, committed as one fenced statement.
//!
//! Every implementation passes the same contract tests. Nothing here retries; callers own the policy.

mod dump;
pub mod postgres;
mod queries;
mod rows;
pub mod sqlite;

use std::time::Duration;

use assay_engine::{Counters, Fault, Forecast, Outcome};
use async_trait::async_trait;

pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::SqliteStore;

/// A pipeline's row and that of the revision a process works for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The pipeline's uid.
    pub pipeline: String,
    /// Cluster label, for people.
    pub cluster: String,
    /// Namespace label.
    pub namespace: String,
    /// Name label.
    pub name: String,
    /// Revision id.
    pub revision: String,
    /// Canonical settings document.
    pub settings: String,
    /// The engine semantics the revision was made for.
    pub engine_semantics: i32,
    /// Identity of the source topic; empty where the broker gives none.
    pub topic_identity: String,
    /// Partition count of the source topic.
    pub partitions: i32,
    /// Per partition: where the revision starts, and the log's end at its creation.
    pub offsets: Vec<StartOffsets>,
}

/// Offsets resolved once at the creation of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartOffsets {
    /// Partition.
    pub partition: i32,
    /// First offset the revision reads.
    pub start_offset: i64,
    /// The log's end at creation: rows of later records are LIVE, earlier ones REPLAYED.
    pub live_from_offset: i64,
}

/// The right to write a partition: lost as soon as another process takes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Pipeline uid.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// Partition.
    pub partition: i32,
    /// Grows by one with every takeover.
    pub epoch: i64,
    /// Random per takeover: tells two processes with one epoch apart after a failover of the store.
    pub owner_nonce: i64,
}

/// A row of `progress`.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Who may write.
    pub fence: Fence,
    /// First offset of the revision.
    pub start_offset: i64,
    /// First LIVE offset.
    pub live_from_offset: i64,
    /// Everything below is in the tables.
    pub next_offset: i64,
    /// Watermark, microseconds; `None` before the first trade.
    pub watermark_us: Option<i64>,
    /// State digest at `next_offset`, 32 hex digits; empty before the first commit.
    pub state_digest: String,
    /// Digest of the record at `next_offset − 1` (value and key), 32 hex digits; empty before the first commit.
    pub record_digest: String,
    /// Counters by reason, canonical JSON.
    pub counters: String,
}

/// A dead letter of the partition being advanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Offset of the record.
    pub offset: i64,
    /// `Rejection::as_str`.
    pub reason: &'static str,
    /// Key, at most 1 KiB of it.
    pub key: Vec<u8>,
    /// Value, at most 64 KiB of it.
    pub value: Vec<u8>,
    /// Full length of the value, bytes.
    pub value_length: i64,
    /// Headers, canonical JSON of (name, base64 value) pairs.
    pub headers: String,
    /// Kafka's record time, microseconds.
    pub record_time_us: Option<i64>,
}

/// One partition's step from `from_offset` to `to_offset`, with every row that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// Who writes.
    pub fence: Fence,
    /// Must equal the stored `next_offset`.
    pub from_offset: i64,
    /// The new `next_offset`.
    pub to_offset: i64,
    /// The new watermark, microseconds.
    pub watermark_us: Option<i64>,
    /// State digest at `to_offset`.
    pub state_digest: String,
    /// Digest of the record at `to_offset − 1`.
    pub record_digest: String,
    /// Counters at `to_offset`.
    pub counters: Counters,
    /// First LIVE offset: decides the phase of the rows.
    pub live_from_offset: i64,
    /// Rows of `forecasts`.
    pub forecasts: Vec<Forecast>,
    /// Rows of `strategy_results`.
    pub outcomes: Vec<Outcome>,
    /// Rows of `faults`.
    pub faults: Vec<Fault>,
    /// Rows of `dead_letters`.
    pub dead_letters: Vec<DeadLetter>,
}

/// A dead letter on its way to the topic that mirrors the table.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Unmirrored {
    /// Offset in the source partition.
    pub record_offset: i64,
    /// Why.
    pub reason: String,
    /// Key, cut where it is long.
    pub key: Vec<u8>,
    /// Value, cut where it is long.
    pub value: Vec<u8>,
    /// Bytes of the value as it came.
    pub value_length: i64,
}

/// A stored snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// State after every record below this offset.
    pub at_offset: i64,
    /// State digest, 32 hex digits.
    pub state_digest: String,
    /// `PartitionState::snapshot`'s bytes.
    pub blob: Vec<u8>,
}

/// What went wrong at a store, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unreachable, timed out, cut: whether the statement took effect is unknown.
    #[error("the result store cannot be reached: {0}; check results.postgres and the server")]
    Unavailable(String),
    /// The circuit is open: nothing was sent.
    #[error("the result store is not asked for another {0:?} after repeated failures")]
    NotAsked(Duration),
    /// The server answers and does not let us in, so nothing took effect. Goes on as if away, until a setting is changed.
    #[error("the result store gives no access: {0}")]
    NoAccess(String),
    /// The statement was refused and had no effect.
    #[error("the result store refused: {0}")]
    Refused(String),
    /// A row that exists already: a defect, never ignored (I7).
    #[error("a row exists already: {0}")]
    UniqueViolation(String),
    /// The schema is not the one this build needs.
    #[error("schema version {found} found, {wanted} wanted; run `assay migrate`")]
    SchemaOutdated {
        /// Version found.
        found: i64,
        /// Version wanted.
        wanted: i64,
    },
}

impl StoreError {
    /// Whether nothing is wrong with the statement: it may be sent again once the store can be used.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotAsked(_) | Self::NoAccess(_))
    }
}

/// Where rows, progress and snapshots live.
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// Creates the rows of pipeline, revision and progress where they are missing; what exists stays as it is.
    /// Makes the revision live where the pipeline has none and `make_live` says so.
    async fn register(&self, registration: &Registration, make_live: bool) -> Result<(), StoreError>;

    /// The revision's stored registration with its offsets in partition order; `None` before `register`.
    async fn registration(&self, pipeline: &str, revision: &str) -> Result<Option<Registration>, StoreError>;

    /// The live revision and its generation.
    async fn live_revision(&self, pipeline: &str) -> Result<Option<(String, i64)>, StoreError>;

    /// Takes a partition over: epoch + 1 and a new nonce. A wait over 2 s for the row ends the backend that blocks it.
    async fn take_over(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        nonce: i64,
    ) -> Result<Progress, StoreError>;

    /// Reads progress without touching it: after a lost reply, and for the live key.
    async fn progress(&self, pipeline: &str, revision: &str) -> Result<Vec<Progress>, StoreError>;

    /// Commits all advances in one statement; gives the partitions that moved. Those missing were fenced or stand elsewhere.
    async fn commit(&self, advances: &[Advance]) -> Result<Vec<i32>, StoreError>;

    /// Writes a snapshot into the older of the two slots if the fence still holds; `false` where it does not.
    async fn save_snapshot(&self, fence: &Fence, snapshot: &Snapshot) -> Result<bool, StoreError>;

    /// Snapshots of a partition with `at_offset <= next_offset`, newest first.
    async fn snapshots(&self, fence: &Fence, next_offset: i64) -> Result<Vec<Snapshot>, StoreError>;

    /// Dead letters of a partition that its cursor has not passed, in order, at most `limit`.
    async fn unmirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        limit: i64,
    ) -> Result<Vec<Unmirrored>, StoreError>;

    /// Moves a partition's cursor of mirrored dead letters forward to `next_offset`; never back.
    async fn mirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        next_offset: i64,
    ) -> Result<(), StoreError>;

    /// Whether the store answers, and whether its schema is the wanted one.
    async fn check(&self) -> Result<(), StoreError>;

    /// Every row of a revision in a canonical text form, sorted, without epoch, nonce, snapshots and insertion times:
    /// two undisturbed runs of one log give equal dumps, on either database.
    async fn dump(&self, pipeline: &str, revision: &str) -> Result<String, StoreError>;
}

fn unregistered(revision: &str, partition: i32) -> StoreError {
    StoreError::Refused(format!(
        "no progress row for partition {partition} of revision {revision}; register it first"
    ))
}

/// The newest version among embedded migrations.
fn wanted_version(migrations: &sqlx::migrate::Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Migrations stay compatible by one version, because old processes still run while new ones start.
fn check_version(found: i64, wanted: i64) -> Result<(), StoreError> {
    match found - wanted {
        0 | 1 => Ok(()),
        2.. => Err(StoreError::Refused(format!(
            "schema version {found} is too new for {wanted}; upgrade this build"
        ))),
        _ => Err(StoreError::SchemaOutdated { found, wanted }),
    }
}
