//! How often a symbol goes up, stays flat or goes down over the horizon, whatever any strategy says.
//!
//! Sampled on a fixed 60-second grid of all times, so that the reference does not depend on when strategies fire.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Distribution, Label, Parameters};
use crate::evaluation::{ClosingPrice, Verdict, judge};

/// Distance of the sampling instants, microseconds.
pub const GRID_US: i64 = 60_000_000;

/// Counts that a symbol starts with: 50 observations in the shares of a Gaussian step against half its standard
/// deviation, 1 − Φ(0.5) = 0.31 a side.
const START: Distribution = Distribution::new(0.31 * 50.0, 0.38 * 50.0, 0.31 * 50.0);

/// Least count of a label. A label that never comes would fade to zero, and its logarithm has no value.
const LEAST_COUNT: f64 = 1e-6;

/// A grid instant whose horizon has not passed yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    started_at_us: i64,
    price: f64,
    threshold: f64,
}

/// Decayed counts of UP, FLAT and DOWN of one symbol and horizon, and the grid instants still open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseRate {
    counts: Distribution,
    pending: VecDeque<Pending>,
}

impl Default for BaseRate {
    fn default() -> Self {
        Self {
            counts: START,
            pending: VecDeque::new(),
        }
    }
}

impl BaseRate {
    /// The shares now: above zero, and summing to one.
    #[must_use]
    pub fn shares(&self) -> Distribution {
        self.counts.shares()
    }

    /// The decayed number of independent cases behind the shares: neighbouring grid spans overlap, so only every
    /// (H / 60 s)th of them tells something new.
    #[must_use]
    pub fn independent_cases(&self, parameters: &Parameters) -> f64 {
        self.counts.total() / parameters.grid_steps_of_horizon().max(1.0)
    }

    /// Opens a grid instant at its closing price and threshold. Instants come in order.
    pub fn start(&mut self, started_at_us: i64, price: f64, threshold: f64) {
        self.pending.push_back(Pending {
            started_at_us,
            price,
            threshold,
        });
    }

    /// When the oldest open grid instant is due, microseconds.
    #[must_use]
    pub fn next_due_us(&self, parameters: &Parameters) -> Option<i64> {
        self.pending
            .front()
            .map(|pending| pending.started_at_us + parameters.horizon_us())
    }

    /// Counts every grid instant due at or before `until_us`; one that cannot be judged is left out.
    pub fn resolve_until(
        &mut self,
        parameters: &Parameters,
        until_us: i64,
        price: Option<ClosingPrice>,
        has_gap: &dyn Fn(i64, i64) -> bool,
    ) {
        while let Some(due_us) = self.next_due_us(parameters).filter(|due| *due <= until_us) {
            let Some(pending) = self.pending.pop_front() else {
                return;
            };
            let gap = has_gap(pending.started_at_us, due_us);
            let closing = ClosingPrice::fresh(price, due_us, parameters.stale_after_us());
            if let Verdict::Judged { label, .. } = judge(pending.price, closing, pending.threshold, gap) {
                self.count(label, parameters.decay());
            }
        }
    }

    /// Counts one observation; the others fade by `decay`.
    pub fn count(&mut self, label: Label, decay: f64) {
        self.counts.count(label, decay);
        self.counts.up = self.counts.up.max(LEAST_COUNT);
        self.counts.flat = self.counts.flat.max(LEAST_COUNT);
        self.counts.down = self.counts.down.max(LEAST_COUNT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probability::tests::parameters;

    const MINUTE: i64 = GRID_US;
    const HORIZON: i64 = 5 * MINUTE;

    fn price(price: f64, slot_end_us: i64) -> ClosingPrice {
        ClosingPrice { price, slot_end_us }
    }

    #[test]
    fn it_starts_at_the_shares_of_a_gaussian_step() {
        let shares = BaseRate::default().shares();
        for (share, expected) in [(shares.up, 0.31), (shares.flat, 0.38), (shares.down, 0.31)] {
            assert!((share - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn an_instant_counts_when_its_horizon_has_passed_and_not_before() {
        let (parameters, mut base) = (parameters(), BaseRate::default());
        base.start(0, 100.0, 0.001);
        base.start(MINUTE, 100.0, 0.001);
        let before = base.shares();
        base.resolve_until(&parameters, HORIZON - 1, Some(price(101.0, HORIZON - 1)), &|_, _| false);
        assert_eq!(base.shares(), before);
        base.resolve_until(&parameters, HORIZON, Some(price(101.0, HORIZON)), &|_, _| false);
        let decay = parameters.decay();
        let expected = (15.5 * decay + 1.0) / (50.0 * decay + 1.0);
        assert!((base.shares().up - expected).abs() < 1e-15);
        assert_eq!(base.next_due_us(&parameters), Some(MINUTE + HORIZON));
    }

    #[test]
    fn an_instant_with_a_gap_or_a_stale_price_is_left_out() {
        let (parameters, mut base) = (parameters(), BaseRate::default());
        let before = base.shares();
        base.start(0, 100.0, 0.001);
        base.resolve_until(&parameters, HORIZON, Some(price(101.0, HORIZON)), &|_, _| true);
        base.start(MINUTE, 100.0, 0.001);
        base.resolve_until(&parameters, HORIZON + MINUTE, Some(price(101.0, HORIZON)), &|_, _| {
            false
        });
        assert_eq!(base.shares(), before);
        assert_eq!(base.next_due_us(&parameters), None);
    }

    #[test]
    fn a_label_that_never_comes_keeps_a_share_above_zero() {
        let mut base = BaseRate::default();
        for _ in 0..5_000 {
            base.count(Label::Up, 0.5);
        }
        assert!(base.shares().down > 0.0 && base.shares().flat > 0.0);
    }
}
