//! The known strategies and their parameters. A further one costs a variant, a struct and a rule here.
//!
//! One optional struct per type: a tagged enum cannot be said in a structural schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DecimalText;

/// One strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.type == 'VwapReversion' || !has(self.vwapReversion)", "message": "vwapReversion belongs to type VwapReversion; remove it or change the type"},
    {"rule": "self.type == 'RangeBreakout' || !has(self.rangeBreakout)", "message": "rangeBreakout belongs to type RangeBreakout; remove it or change the type"},
]))]
pub struct StrategySpec {
    /// Name, unique in the pipeline; results are kept under it.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What it looks for.
    #[serde(rename = "type")]
    pub kind: StrategyType,
    /// Switched off, it emits nothing; the switch is part of the revision.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
    /// Parameters of type VwapReversion; left out, the defaults hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vwap_reversion: Option<VwapReversionSpec>,
    /// Parameters of type RangeBreakout; left out, the defaults hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_breakout: Option<RangeBreakoutSpec>,
}

fn enabled_by_default() -> bool {
    true
}

/// What a strategy looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum StrategyType {
    /// A price far from its VWAP tends back.
    VwapReversion,
    /// A price leaves its range, confirmed by volume.
    RangeBreakout,
}

/// Parameters of VwapReversion. z is the distance of the last second's VWAP from the rolling VWAP in standard deviations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "double(self.exitZ) >= 0.0 && double(self.exitZ) < double(self.entryZ) && double(self.entryZ) < double(self.maxZ)", "message": "0 <= exitZ < entryZ < maxZ must hold"},
]))]
pub struct VwapReversionSpec {
    /// |z| that fires, when crossed from inside.
    pub entry_z: DecimalText,
    /// |z| below which it may fire again.
    pub exit_z: DecimalText,
    /// |z| of full strength.
    pub max_z: DecimalText,
    /// Trades the window must hold.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_trades: u32,
    /// Ticks the standard deviation must reach.
    pub min_deviation_ticks: DecimalText,
}

impl Default for VwapReversionSpec {
    fn default() -> Self {
        Self {
            entry_z: "2.0".into(),
            exit_z: "0.5".into(),
            max_z: "4.0".into(),
            min_trades: 100,
            min_deviation_ticks: "2".into(),
        }
    }
}

/// Parameters of RangeBreakout. The range is that of indicators.rangeBars bars before the current one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct RangeBreakoutSpec {
    /// Volume of the current bar over the mean of the previous ones that confirms the breakout.
    #[schemars(extend("x-kubernetes-validations" = crate::decimal::rules(&[
        ("double(self) > 0.0", "volumeRatio must be above 0"),
    ])))]
    pub volume_ratio: DecimalText,
    /// Bars in the mean volume.
    #[schemars(range(min = 1, max = 1000))]
    pub volume_bars: u32,
}

impl Default for RangeBreakoutSpec {
    fn default() -> Self {
        Self {
            volume_ratio: "1.5".into(),
            volume_bars: 20,
        }
    }
}
