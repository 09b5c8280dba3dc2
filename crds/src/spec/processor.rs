//! The pods that do the work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DurationText;

/// The pods that do the work. Changes here roll the pods; they never make a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ProcessorSpec {
    /// Image of the processor; left out, the one that came with the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Pods of the live revision, at most one a partition. `kubectl scale` and autoscalers write it;
    /// leave it out of Git where one of them owns it. With scaling.mode Lag it is only the first count.
    #[schemars(range(min = 0, max = 4096))]
    pub replicas: i32,
    /// CPU and memory; left out, 250m and 128Mi are requested and memory is limited to 512Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::lean::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// When effects are committed and published.
    pub commit: CommitSpec,
    /// What else the pods need.
    pub pod: PodSpec,
}

impl Default for ProcessorSpec {
    fn default() -> Self {
        Self {
            image: None,
            replicas: 1,
            resources: None,
            commit: CommitSpec::default(),
            pod: PodSpec::default(),
        }
    }
}

/// When effects are committed and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "duration(self.interval) >= duration('10ms') && duration(self.interval) <= duration('1m')", "message": "commit.interval must be between 10ms and 1m"},
    {"rule": "duration(self.publishInterval) >= duration('1ms') && duration(self.publishInterval) <= duration('10s')", "message": "commit.publishInterval must be between 1ms and 10s"},
]))]
pub struct CommitSpec {
    /// How often results and progress go to Postgres, in one statement.
    pub interval: DurationText,
    /// How often changed symbols go to Redis.
    pub publish_interval: DurationText,
    /// Rows that trigger a commit before its time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rows: u32,
}

impl Default for CommitSpec {
    fn default() -> Self {
        Self {
            interval: "500ms".into(),
            publish_interval: "10ms".into(),
            max_rows: 10_000,
        }
    }
}

/// What else the pods need: these fields and not a whole pod template, which would not fit into an annotation of client-side apply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct PodSpec {
    /// Secrets to pull the image with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::lean::<Vec<LocalObjectReference>>")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Always, IfNotPresent or Never; left out, the cluster decides by the image's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Always", "IfNotPresent", "Never"]))]
    pub image_pull_policy: Option<String>,
    /// Priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// The identity the pods run under.
    pub service_account: ServiceAccountSpec,
    /// Further labels; those of Assay win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations; those of Assay win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Further environment; names that start with ASSAY_ are Assay's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::environment")]
    pub env: Vec<EnvVar>,
    /// Further volumes; names that start with assay- are Assay's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::open_list")]
    pub volumes: Vec<Volume>,
    /// Where the further volumes are mounted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::lean::<Vec<VolumeMount>>")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Security context of the pod; left out: non-root, seccomp RuntimeDefault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub security_context: Option<PodSecurityContext>,
    /// Runtime class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Labels a node must carry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::lean::<Vec<Toleration>>")]
    pub tolerations: Vec<Toleration>,
    /// Affinity rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub affinity: Option<Affinity>,
    /// How the pods spread over zones and nodes; left out, they spread over nodes where that is possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::open_list")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

/// The identity the pods run under.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.name) || !has(self.annotations) || size(self.annotations) == 0", "message": "serviceAccount takes a name (an existing account) or annotations (for the one Assay creates), not both"},
]))]
pub struct ServiceAccountSpec {
    /// An existing ServiceAccount; left out, Assay creates one for the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Annotations of the ServiceAccount that Assay creates, such as a cloud role.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}
