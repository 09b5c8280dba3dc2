//! The topics: the trades that are read, and the dead letters.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The topic of trades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Name of the topic. Immutable: another topic is another pipeline.
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "source.topic is immutable: another topic is another log; create another pipeline"},
    ]))]
    pub topic: String,
    /// Number of partitions, said explicitly: symbols are spread over them by key, and results depend on it. It cannot decrease.
    #[schemars(range(min = 1, max = 4096))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self >= oldSelf", "message": "source.partitions cannot decrease: Kafka cannot drop partitions; create another topic and pipeline"},
    ]))]
    pub partitions: i32,
    /// Copies of each partition, on different brokers.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 15))]
    pub replication_factor: i32,
    /// Topic settings to hold, by Kafka's names. Only the keys named here are compared and repaired; others are left alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [
        {"rule": "!('cleanup.policy' in self) || self['cleanup.policy'] == 'delete'", "message": "cleanup.policy must be delete: a compacted topic loses trades, and replays would differ"},
        {"rule": "!('retention.ms' in self) || self['retention.ms'].matches('^(-1|[0-9]{1,18})$')", "message": "retention.ms must be a whole number of milliseconds in quotes, or \"-1\" for no limit"},
    ]))]
    pub config: BTreeMap<String, String>,
    /// Managed: the operator creates the topic and repairs its settings. Observed: it verifies and never touches,
    /// for topics that Strimzi or a platform team owns.
    #[serde(default)]
    pub management: Management,
    /// What happens to a managed topic when the pipeline is deleted. Delete waits until no other pipeline names the topic.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_replication_factor() -> i32 {
    3
}

/// Who owns a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Management {
    /// The operator creates it and repairs its settings.
    #[default]
    Managed,
    /// The operator verifies it and never touches it.
    Observed,
}

/// What happens to a managed topic when the pipeline goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// It stays, with its records.
    #[default]
    Retain,
    /// It is deleted once no other pipeline names it.
    Delete,
}

/// A topic that mirrors the dead letters; the table of dead letters is written in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersSpec {
    /// Name of the topic.
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub topic: String,
    /// Number of partitions.
    #[serde(default = "default_dead_letter_partitions")]
    #[schemars(range(min = 1, max = 4096))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self >= oldSelf", "message": "deadLetters.partitions cannot decrease: Kafka cannot drop partitions"},
    ]))]
    pub partitions: i32,
    /// Copies of each partition.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 15))]
    pub replication_factor: i32,
}

fn default_dead_letter_partitions() -> i32 {
    1
}
