//! A revision as it is handed to processors: decided once by the operator, mounted read-only, never edited.

use serde::{Deserialize, Serialize};

/// What a processor needs to know about the revision it works for, beside the pipeline's document.
///
/// The operator resolves the offsets before the revision's first pod and keeps them in an immutable `ConfigMap` (key `revision.json`);
/// the first processor writes them into the result store, and from then on the store's are the ones that hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionInstance {
    /// The pipeline's uid: the key of all its rows.
    pub pipeline: String,
    /// Cluster label, for people.
    pub cluster: String,
    /// Namespace label, for people.
    pub namespace: String,
    /// Name label, for people.
    pub name: String,
    /// The revision's id.
    pub revision: String,
    /// Meaning of the engine's step function that the revision was made for.
    pub engine_semantics: u32,
    /// The source topic.
    pub topic: String,
    /// Id that the brokers gave the topic; empty where they give none.
    pub topic_identity: String,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Canonical settings text, the one that was hashed.
    pub settings: String,
    /// Per partition, in their order.
    pub offsets: Vec<InstanceOffsets>,
}

/// Where a revision starts in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOffsets {
    /// Partition.
    pub partition: i32,
    /// First offset the revision reads.
    pub start_offset: i64,
    /// The log's end at the revision's creation: rows of later records are LIVE, earlier ones REPLAYED.
    pub live_from_offset: i64,
}
