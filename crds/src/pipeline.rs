//! The resource itself: names, columns, subresources and the rules that span several fields.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{
    DeadLettersSpec, KafkaSpec, ProcessorSpec, ResultsSpec, RolloutSpec, ScalingSpec, SettingsSpec, SourceSpec,
};
use crate::status::StrategyPipelineStatus;

/// Longest name of a pipeline: it becomes label values and gets suffixes, and those end at 63.
pub const NAME_LIMIT: usize = 45;

/// What a pipeline is to be.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "assay.dev",
    version = "v1alpha1",
    kind = "StrategyPipeline",
    plural = "strategypipelines",
    shortname = "sp",
    category = "assay",
    namespaced,
    cel,
    derive = "PartialEq",
    status = "StrategyPipelineStatus",
    doc = "A stream of market trades turned into probabilities that are checked against what happened next.",
    scale(
        spec_replicas_path = ".spec.processor.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("size(self.metadata.name) <= 45").message(
        "metadata.name must have at most 45 characters: it becomes label values and gets suffixes; choose a shorter one"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name must start with a letter and hold only lower-case letters, digits and hyphens: a Service carries it"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.liveRevision"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".spec.source.partitions"),
    printcolumn(name = "Lag", type_ = "string", json_path = ".status.lag.total"),
    printcolumn(name = "Drain", type_ = "string", json_path = ".status.timeToDrain"),
    printcolumn(name = "Headroom", type_ = "string", json_path = ".status.retentionHeadroom"),
    printcolumn(name = "Skill", type_ = "string", json_path = ".status.brierSkill"),
    printcolumn(
        name = "Status",
        type_ = "string",
        priority = 1,
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.deadLetters) || self.deadLetters.topic != self.source.topic", "message": "deadLetters.topic must differ from source.topic, or dead letters would be read as trades"},
]))]
pub struct StrategyPipelineSpec {
    /// The Kafka cluster and how to log in.
    pub kafka: KafkaSpec,
    /// The topic of trades.
    pub source: SourceSpec,
    /// A topic that mirrors the dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLettersSpec>,
    /// Everything that can change a result; a change makes a new revision.
    pub settings: SettingsSpec,
    /// Where results go.
    pub results: ResultsSpec,
    /// The pods that do the work.
    #[serde(default)]
    pub processor: ProcessorSpec,
    /// How many pods.
    #[serde(default)]
    pub scaling: ScalingSpec,
    /// How a new revision takes over.
    #[serde(default)]
    pub rollout: RolloutSpec,
    /// Stops the processors and keeps everything; resumed, they go on where they stopped.
    #[serde(default)]
    pub suspend: bool,
}
