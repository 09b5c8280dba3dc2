//! What a run needs to know, all decided: no default is filled in after this.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use assay_engine::Settings;

use crate::ingest::client::Connection;
use crate::resilience::RetryPolicy;
use crate::stores::StartOffsets;

/// Whose pipeline it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineIdentity {
    /// Key of all its rows.
    pub uid: String,
    /// Cluster label, for people.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A run of one revision.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// Whose.
    pub pipeline: PipelineIdentity,
    /// Revision id.
    pub revision: String,
    /// Canonical settings text.
    pub settings_document: String,
    /// The same, for the engine.
    pub settings: Arc<Settings>,
    /// Engine semantics of this build.
    pub engine_semantics: i32,
    /// Start offsets that the operator resolved; `None` = no operator: they are resolved here, and the revision becomes
    /// live where none is.
    pub offsets: Option<Vec<StartOffsets>>,
    /// How to reach Kafka.
    pub kafka: Connection,
    /// Source topic.
    pub topic: String,
    /// The id of the topic the operator made the revision from; empty = not known.
    pub topic_identity: String,
    /// Topic that mirrors the dead letters; `None` = they are in the table only.
    pub dead_letter_topic: Option<String>,
    /// Its partitions.
    pub partitions: i32,
    /// Consumer group.
    pub group: String,
    /// How often results and progress are committed.
    pub commit_interval: Duration,
    /// How often changed symbols are published.
    pub publish_interval: Duration,
    /// Rows that trigger a commit before its time.
    pub max_rows: usize,
    /// Bytes of log between two snapshots of a partition.
    pub snapshot_bytes: u64,
    /// Worker threads.
    pub workers: usize,
    /// How long a revocation or a shutdown may drain.
    pub drain_budget: Duration,
    /// How long a dependency may be away at the start and in a take-over.
    pub retry: RetryPolicy,
    /// How long one call to Kafka beside the group may take.
    pub call_timeout: Duration,
    /// Where the admin pages are served; `None` = nowhere.
    pub admin: Option<SocketAddr>,
}

impl RunConfig {
    /// Whether there is no operator.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.offsets.is_none()
    }
}
