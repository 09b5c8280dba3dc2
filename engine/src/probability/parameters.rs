//! What the settings of a revision mean to probabilities, worked out once.

use crate::Settings;

/// Name of the pool where a strategy's name would stand; no strategy may bear it.
pub const POOLED: &str = "pooled";

/// The minute that volatilities refer to, microseconds.
const MINUTE_US: f64 = 60_000_000.0;

/// Constants of one revision, shared by its symbols.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    revision: String,
    strategies: Vec<String>,
    by_name: Vec<Option<usize>>,
    horizon_us: i64,
    stale_after_us: i64,
    volatility_multiple: f64,
    root_of_minutes: f64,
    decay: f64,
    prior_strength: f64,
    learning_rate: f64,
}

impl Parameters {
    /// The constants of `settings`.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a horizon is far below 2^53 microseconds")]
    pub fn new(settings: &Settings) -> Self {
        let strategies: Vec<String> = settings.strategies.keys().cloned().collect();
        Self {
            revision: settings.revision.clone(),
            by_name: order_by_name(&strategies),
            strategies,
            horizon_us: settings.horizon_us,
            stale_after_us: settings.stale_after_us,
            volatility_multiple: settings.volatility_multiple,
            root_of_minutes: (settings.horizon_us as f64 / MINUTE_US).sqrt(),
            decay: half_life_decay(settings.decay_outcomes),
            prior_strength: settings.prior_strength,
            learning_rate: settings.learning_rate,
        }
    }

    /// θ = k·σ·sqrt(H/60 s), as a log return; `None` where the price did not move or σ is unknown.
    #[must_use]
    pub fn threshold(&self, volatility: Option<f64>) -> Option<f64> {
        let threshold = self.volatility_multiple * volatility? * self.root_of_minutes;
        (threshold > 0.0 && threshold.is_finite()).then_some(threshold)
    }

    /// The horizon in steps of the base rate's grid.
    #[must_use]
    pub fn grid_steps_of_horizon(&self) -> f64 {
        self.root_of_minutes * self.root_of_minutes
    }

    /// Names of the enabled strategies in their order; indices elsewhere point here.
    #[must_use]
    pub fn strategies(&self) -> &[String] {
        &self.strategies
    }

    /// Strategies by index, and the pool as `None`, in the order of their names: the order of rows of one instant.
    #[must_use]
    pub fn by_name(&self) -> &[Option<usize>] {
        &self.by_name
    }

    /// The name of a strategy, or of the pool.
    #[must_use]
    pub fn name(&self, strategy: Option<usize>) -> &str {
        strategy
            .and_then(|index| self.strategies.get(index))
            .map_or(POOLED, String::as_str)
    }

    /// The revision's id.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Horizon, microseconds.
    #[must_use]
    pub fn horizon_us(&self) -> i64 {
        self.horizon_us
    }

    /// Age beyond which a price is stale, microseconds.
    #[must_use]
    pub fn stale_after_us(&self) -> i64 {
        self.stale_after_us
    }

    /// λ = 0.5^(1/decayOutcomes): what is left of a count after one more outcome.
    #[must_use]
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// κ: the number of cases that the base rate is worth.
    #[must_use]
    pub fn prior_strength(&self) -> f64 {
        self.prior_strength
    }

    /// η of the adaptive weights.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
}

/// 0.5^(1/outcomes), by libm's exp and ln alone.
fn half_life_decay(outcomes: f64) -> f64 {
    libm::exp(libm::log(0.5) / outcomes)
}

fn order_by_name(strategies: &[String]) -> Vec<Option<usize>> {
    let before_pool = strategies.partition_point(|name| name.as_str() < POOLED);
    let (before, after) = (0..before_pool, before_pool..strategies.len());
    before
        .map(Some)
        .chain(std::iter::once(None))
        .chain(after.map(Some))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_halves_after_the_half_life() {
        let decay = half_life_decay(4000.0);
        assert!((decay - 0.999_826_728_218_149_5).abs() < 1e-15);
        let left = (0..4000).fold(1.0, |left, _| left * decay);
        assert!((left - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_pool_stands_among_the_strategies_by_name() {
        let names = ["a", "range-breakout", "vwap-reversion"].map(String::from);
        assert_eq!(order_by_name(&names), [Some(0), None, Some(1), Some(2)]);
        assert_eq!(order_by_name(&[]), [None]);
    }
}
