//! How a new revision takes over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DecimalText, DurationText};

/// How a new revision takes over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct RolloutSpec {
    /// Immediate: promoted as soon as it has caught up. Shadow: runs beside the live one on the same trades until
    /// somebody promotes it; judging it by its outcomes is not there yet.
    pub strategy: RolloutStrategy,
    /// Outcomes that both revisions must have resolved before Shadow judges. Has no effect yet.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_outcomes: u32,
    /// How long Shadow waits for them. Has no effect yet.
    pub max_wait: DurationText,
    /// What happens after maxWait. Has no effect yet.
    pub on_timeout: OnTimeout,
    /// Loss of Brier skill that is accepted. Has no effect yet.
    #[schemars(extend("x-kubernetes-validations" = crate::decimal::rules(&[
        ("double(self) >= 0.0 && double(self) <= 1.0", "maxSkillLoss must be between 0 and 1"),
    ])))]
    pub max_skill_loss: DecimalText,
    /// Most pods that a candidate may take beside the live revision.
    #[schemars(range(min = 1, max = 4096))]
    pub max_extra_replicas: i32,
    /// Retired revisions that stay resumable; rows of older ones are dropped. Has no effect yet: all stay.
    #[schemars(range(min = 0, max = 20))]
    pub revision_history_limit: u32,
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::Immediate,
            min_outcomes: 200,
            max_wait: "24h".into(),
            on_timeout: OnTimeout::Reject,
            max_skill_loss: "0.01".into(),
            max_extra_replicas: 4,
            revision_history_limit: 3,
        }
    }
}

/// When a candidate becomes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RolloutStrategy {
    /// As soon as it has caught up.
    #[default]
    Immediate,
    /// When somebody promotes it.
    Shadow,
}

/// What happens to a candidate that could not be judged in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnTimeout {
    /// It is dropped.
    #[default]
    Reject,
    /// It goes on until somebody decides.
    Hold,
    /// It becomes live.
    Promote,
}
