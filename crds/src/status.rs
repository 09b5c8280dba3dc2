//! What the operator reports. Conditions change at once; figures at most every 30 seconds and rounded to two digits.

// Doc comments become `kubectl explain`, where backticks are noise.
#![allow(clippy::doc_markdown)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The observed state of a pipeline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StrategyPipelineStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, SettingsValid, TopicsReady, ProcessorsReady, RolloutComplete; Reconciling and Stalled as kstatus reads them; further ones only while they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The topics as found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub topics: Vec<TopicStatus>,
    /// Consumer group of the live revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
    /// The revision that readers follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_revision: Option<String>,
    /// The revision that would take over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_revision: Option<String>,
    /// Revisions that are known, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub revisions: Vec<RevisionStatus>,
    /// Pods of the live revision.
    pub replicas: i32,
    /// Label selector of the pods of the live revision, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Records of the live revision that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagStatus>,
    /// How long the backlog takes to work off at the present rates, such as 12s; `never` where arrivals outrun the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_drain: Option<String>,
    /// Time until retention deletes the oldest unread record, such as 6d.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_headroom: Option<String>,
    /// Share of hits among resolved forecasts of the live revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<String>,
    /// Brier skill of the live revision against the base rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brier_skill: Option<String>,
    /// What scaling decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// What the rollout rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// A topic as found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct TopicStatus {
    /// Name of the topic.
    pub name: String,
    /// Id the brokers gave it; it changes where the topic is deleted and created again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Partitions found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Copies found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Namespace and name of the pipeline that manages it, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Ready, Missing, Mismatch, Drifted, Conflict or Unknown.
    pub state: String,
    /// The difference, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A revision that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct RevisionStatus {
    /// Hash of the settings and an ordinal.
    pub name: String,
    /// Live, Candidate, Retired or Rejected.
    pub phase: String,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// How much of its history a candidate has read, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<String>,
    /// What happens next, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Records that wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct LagStatus {
    /// Records that wait over all partitions; `unknown` where any partition could not be read.
    pub total: String,
    /// The partitions with most, worst first, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<PartitionLag>,
    /// Partitions whose lag could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<i32>,
    /// Records a second that arrive, over all partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<String>,
    /// Records a second that are processed, over all partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_rate: Option<String>,
}

/// Records of one partition that wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct PartitionLag {
    /// Partition.
    pub partition: i32,
    /// Records that wait.
    pub records: i64,
}

/// What scaling decided.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ScalingStatus {
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<ScalingDecision>,
}

/// A decision on the number of pods.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ScalingDecision {
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::time")]
    pub time: Option<Time>,
    /// Pods before.
    pub from: i32,
    /// Pods wanted.
    pub to: i32,
    /// Why, as a sentence with the figures.
    pub reason: String,
}

/// What the rollout rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct RolloutStatus {
    /// The figures that led, or will lead, to a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}
