//! Everything that can change a result: these fields, with their defaults filled in, are hashed into the revision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::strategies::StrategySpec;
use crate::{DecimalText, DurationText};

/// The revision's settings. Any change here makes a new revision: a new consumer group with state and results of its own, built by
/// replaying the log, that runs beside the live one until it is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "duration(self.historyWindow) >= duration(self.indicators.vwapWindow) && duration(self.historyWindow) >= duration(self.indicators.profileWindow)",
        "message": "historyWindow must cover indicators.vwapWindow and indicators.profileWindow, or they never fill",
    },
    {
        "rule": "duration(self.dedupeWindow) >= duration(self.lateness)",
        "message": "dedupeWindow must be at least lateness, or a late duplicate would count twice",
    },
]))]
pub struct SettingsSpec {
    /// How far back in the log a new revision starts. At most 0.8 of the topic's retention.
    #[serde(default = "default_history_window")]
    pub history_window: DurationText,
    /// How long trades of an instant are awaited after it. Trades that come later are counted and left out.
    #[serde(default = "default_lateness")]
    #[schemars(extend("x-kubernetes-validations" = crate::duration::rules(&[
        ("duration(self) <= duration('1h')", "lateness must be at most 1h"),
    ])))]
    pub lateness: DurationText,
    /// How long trade ids are remembered, in event time: a copy inside this span counts once.
    #[serde(default = "default_dedupe_window")]
    pub dedupe_window: DurationText,
    /// Windows of the indicators.
    #[serde(default)]
    pub indicators: IndicatorsSpec,
    /// Strategies by name; each has a type and at most the one parameter block of that type.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub strategies: Vec<StrategySpec>,
    /// How forecasts are judged.
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    /// How probabilities are estimated.
    #[serde(default)]
    pub probability: ProbabilitySpec,
    /// Exceptions for single symbols.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["symbol"]))]
    pub symbols: Vec<SymbolSpec>,
}

fn default_history_window() -> DurationText {
    "168h".into()
}

fn default_lateness() -> DurationText {
    "2s".into()
}

fn default_dedupe_window() -> DurationText {
    "10m".into()
}

/// Windows of the indicators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct IndicatorsSpec {
    /// Window of the rolling VWAP; whole seconds.
    pub vwap_window: DurationText,
    /// Window of the volume profile; whole seconds.
    pub profile_window: DurationText,
    /// Length of one bar of the range; whole seconds.
    pub range_bar: DurationText,
    /// Bars before the current one that make the range.
    #[schemars(range(min = 1, max = 1000))]
    pub range_bars: u32,
}

impl Default for IndicatorsSpec {
    fn default() -> Self {
        Self {
            vwap_window: "30m".into(),
            profile_window: "30m".into(),
            range_bar: "1m".into(),
            range_bars: 20,
        }
    }
}

/// How forecasts are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct EvaluationSpec {
    /// How long after a forecast its outcome is read.
    #[schemars(extend("x-kubernetes-validations" = crate::duration::rules(&[
        ("duration(self) >= duration('1s') && duration(self) <= duration('24h')", "horizon must be between 1s and 24h"),
    ])))]
    pub horizon: DurationText,
    /// k of the threshold θ = k·σ·sqrt(horizon / 60 s): how far the price must move to count as UP or DOWN.
    #[schemars(extend("x-kubernetes-validations" = crate::decimal::rules(&[
        ("double(self) > 0.0", "volatilityMultiple must be above 0"),
    ])))]
    pub volatility_multiple: DecimalText,
    /// A price older than this at the due time makes the outcome VOID.
    pub stale_after: DurationText,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self {
            horizon: "5m".into(),
            volatility_multiple: "0.5".into(),
            stale_after: "10s".into(),
        }
    }
}

/// How probabilities are estimated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ProbabilitySpec {
    /// κ: how many outcomes the base rate weighs as in a strategy's own track record.
    #[schemars(range(min = 1, max = 100_000))]
    pub prior_strength: u32,
    /// Outcomes after which a count weighs half.
    #[schemars(range(min = 10, max = 10_000_000))]
    pub decay_outcomes: u32,
    /// η: how fast the weights of strategies follow their losses.
    #[schemars(extend("x-kubernetes-validations" = crate::decimal::rules(&[
        ("double(self) >= 0.0 && double(self) <= 1.0", "learningRate must be between 0 and 1"),
    ])))]
    pub learning_rate: DecimalText,
}

impl Default for ProbabilitySpec {
    fn default() -> Self {
        Self {
            prior_strength: 30,
            decay_outcomes: 4000,
            learning_rate: "0.1".into(),
        }
    }
}

/// Exceptions for one symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SymbolSpec {
    /// The symbol, as in the trades.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Z0-9._/-]+$"))]
    pub symbol: String,
    /// Tick size instead of the inferred one, such as "0.01".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_size: Option<DecimalText>,
    /// Width of a volume-profile bucket instead of the inferred one; a whole number of ticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_size: Option<DecimalText>,
}
