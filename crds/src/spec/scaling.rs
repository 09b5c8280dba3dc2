//! How many pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DurationText;

/// How many pods. Never more than partitions. Has no effect yet: processor.replicas is obeyed in every mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas", "message": "minReplicas must not exceed maxReplicas"},
]))]
pub struct ScalingSpec {
    /// Manual: processor.replicas is obeyed. Suggest: the operator decides by lag, says so in status, and does not act.
    /// Lag: the operator decides by lag and acts. Suggest and Lag have no effect yet.
    pub mode: ScalingMode,
    /// Fewest pods. Has no effect yet.
    #[schemars(range(min = 1, max = 4096))]
    pub min_replicas: i32,
    /// Most pods; left out, one a partition. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_replicas: Option<i32>,
    /// How fast a backlog is to be worked off. Has no effect yet.
    #[schemars(extend("x-kubernetes-validations" = crate::duration::rules(&[
        ("duration(self) >= duration('1s')", "targetDrain must be at least 1s"),
    ])))]
    pub target_drain: DurationText,
}

impl Default for ScalingSpec {
    fn default() -> Self {
        Self {
            mode: ScalingMode::Manual,
            min_replicas: 1,
            max_replicas: None,
            target_drain: "30s".into(),
        }
    }
}

/// Who decides how many pods run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ScalingMode {
    /// The operator, by lag.
    Lag,
    /// The operator decides and shows it; processor.replicas is obeyed.
    Suggest,
    /// processor.replicas, whoever writes it.
    #[default]
    Manual,
}
