//! Strategies: stateless judgements of one symbol's indicators at one instant.
//!
//! A new one is a file here, a variant of `StrategySettings` and a line in [`build`]. A strategy reads no clock, keeps
//! nothing between calls and knows nothing of probabilities; whether it is armed is state of the symbol.

mod range_breakout;
mod vwap_reversion;

pub use range_breakout::RangeBreakout;
pub use vwap_reversion::VwapReversion;

use crate::indicators::IndicatorSnapshot;
use crate::probability::Direction;
use crate::settings::{Settings, StrategySettings};

/// What a strategy calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// The side called.
    pub direction: Direction,
    /// How far beyond the threshold, 0–1.
    pub strength: f64,
    /// Confidence in the data, 0–1.
    pub confidence: f64,
}

/// A stateless judgement.
pub trait Strategy: Send + Sync + std::fmt::Debug {
    /// The name it was enabled under; part of every forecast id.
    fn name(&self) -> &str;

    /// The call at this instant, if the conditions hold.
    fn evaluate(&self, snapshot: &IndicatorSnapshot<'_>) -> Option<Signal>;

    /// Whether a crossing is over, so that the next one may signal again; `horizon_passed` tells that the last call's
    /// horizon lies behind.
    fn rearms(&self, snapshot: &IndicatorSnapshot<'_>, horizon_passed: bool) -> bool;
}

/// The enabled strategies, in the order of their names: registration of every type there is.
#[must_use]
pub fn build(settings: &Settings) -> Vec<Box<dyn Strategy>> {
    let build_one = |(name, strategy): (&String, &StrategySettings)| -> Box<dyn Strategy> {
        match strategy {
            StrategySettings::VwapReversion(parameters) => Box::new(VwapReversion::new(name, parameters)),
            StrategySettings::RangeBreakout(parameters) => Box::new(RangeBreakout::new(name, parameters)),
        }
    };
    settings.strategies.iter().map(build_one).collect()
}
