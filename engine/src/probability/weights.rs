//! How much each strategy counts in the pool of one symbol and horizon; learned from outcomes, once each.

use serde::{Deserialize, Serialize};

/// Share of every update that goes back to equal weights, so that no strategy is written off for good.
const FORGETTING: f64 = 0.01;

/// One weight a strategy, in the order of the strategies' names; a distribution.
///
/// Exponential weights (Vovk 1990; Littlestone and Warmuth 1994) with a fixed share (Herbster and Warmuth 1998).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights(Vec<f64>);

impl Weights {
    /// Equal weights.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "strategies are few")]
    pub fn equal(strategies: usize) -> Self {
        Self(vec![1.0 / strategies as f64; strategies])
    }

    /// The weights, in the order of the strategies' names.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Learns from one outcome: the strategy's weight falls by its loss beyond that of the base rate.
    ///
    /// w ·= exp(−`rate`·(`loss` − `base_loss`)); normalise; w = 0.99 w + 0.01/S. Losses are in nats.
    #[allow(clippy::cast_precision_loss, reason = "strategies are few")]
    pub fn learn(&mut self, strategy: usize, rate: f64, loss: f64, base_loss: f64) {
        let Some(weight) = self.0.get_mut(strategy) else { return };
        *weight *= libm::exp(-rate * (loss - base_loss));
        let total: f64 = self.0.iter().sum();
        let equal = FORGETTING / self.0.len() as f64;
        for weight in &mut self.0 {
            *weight = (1.0 - FORGETTING) * (*weight / total) + equal;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_loss_beyond_the_base_rates_costs_weight_as_computed_by_hand() {
        let mut weights = Weights::equal(2);
        // p = 0.2 of what came, base rate 0.31, η·conf = 0.08.
        weights.learn(0, 0.08, 1.609_437_912_434_100_3, 1.171_182_981_502_945);
        assert!((weights.as_slice()[0] - 0.491_323_441_140_803_56).abs() < 1e-15);
        assert!((weights.as_slice()[1] - 0.508_676_558_859_196_4).abs() < 1e-15);
    }

    #[test]
    fn a_strategy_alone_keeps_all_the_weight() {
        let mut weights = Weights::equal(1);
        weights.learn(0, 0.1, 3.0, 1.0);
        assert!((weights.as_slice()[0] - 1.0).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn weights_stay_a_distribution(
            strategies in 1..6_usize,
            outcomes in prop::collection::vec((0..6_usize, 0.0..1.0_f64, 0.0..35.0_f64, 0.0..35.0_f64), 0..500),
        ) {
            let mut weights = Weights::equal(strategies);
            for (strategy, rate, loss, base_loss) in outcomes {
                weights.learn(strategy, rate, loss, base_loss);
            }
            let total: f64 = weights.as_slice().iter().sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
            prop_assert!(weights.as_slice().iter().all(|weight| *weight > 0.0));
        }
    }
}
