//! The settings of a revision, as the engine uses them: integers and floats, validated elsewhere.

use std::collections::BTreeMap;

/// Everything that can change a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The revision's id; part of every forecast id.
    pub revision: String,
    /// How long after an instant trades of that instant are still awaited, microseconds.
    pub lateness_us: i64,
    /// How long trade ids are remembered, microseconds of event time.
    pub dedupe_window_us: i64,
    /// Rolling VWAP window, whole seconds.
    pub vwap_window_s: u32,
    /// Volume profile window, whole seconds.
    pub profile_window_s: u32,
    /// Length of a range bar, whole seconds.
    pub range_bar_s: u32,
    /// Bars before the current one that make the range.
    pub range_bars: u32,
    /// Enabled strategies, by name.
    pub strategies: BTreeMap<String, StrategySettings>,
    /// Forecast horizon, microseconds.
    pub horizon_us: i64,
    /// k of θ = k·σ·sqrt(H/60 s).
    pub volatility_multiple: f64,
    /// A price older than this at the due time makes the outcome VOID, microseconds.
    pub stale_after_us: i64,
    /// κ, the weight of the base rate in a local probability.
    pub prior_strength: f64,
    /// Outcomes after which a count weighs half.
    pub decay_outcomes: f64,
    /// η of the adaptive weights.
    pub learning_rate: f64,
    /// Per-symbol exceptions.
    pub symbols: BTreeMap<String, SymbolSettings>,
}

/// One strategy's type and parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum StrategySettings {
    /// Price far from its VWAP tends back.
    VwapReversion(VwapReversionSettings),
    /// Price leaves its range with volume.
    RangeBreakout(RangeBreakoutSettings),
}

/// Parameters of `VwapReversion`.
#[derive(Debug, Clone, PartialEq)]
pub struct VwapReversionSettings {
    /// |z| that fires.
    pub entry_z: f64,
    /// |z| below which it re-arms.
    pub exit_z: f64,
    /// |z| of full strength.
    pub max_z: f64,
    /// Trades the window must hold.
    pub min_trades: u64,
    /// Ticks the standard deviation must reach.
    pub min_deviation_ticks: f64,
}

/// Parameters of `RangeBreakout`.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeBreakoutSettings {
    /// Volume of the bar over the mean of the previous ones that confirms.
    pub volume_ratio: f64,
    /// Bars in the mean volume.
    pub volume_bars: u32,
}

/// Exceptions for one symbol; prices scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SymbolSettings {
    /// Tick size instead of the inferred one.
    pub tick_size: Option<i64>,
    /// Width of a volume-profile bucket instead of the inferred one.
    pub bucket_size: Option<i64>,
}
