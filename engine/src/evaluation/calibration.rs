//! Running sums that say how well probabilities agreed with outcomes. Only sums are kept and every mean is derived,
//! so that sums of parts, merged, tell the same as one replay of the whole.

use serde::{Deserialize, Serialize};

use super::{Scored, VoidReason};

/// Bins of the reliability diagram: equal parts of 0–1, each with its lower edge.
pub const BINS: usize = 20;

/// Least probability that a logarithmic loss is taken of, so that a certain forecast gone wrong stays a number.
const LEAST_PROBABILITY: f64 = 1e-15;

/// Logarithmic loss of an event given probability `p`, in nats; zero, not minus zero, where `p` is one.
#[must_use]
pub(crate) fn log_loss(p: f64) -> f64 {
    0.0 - libm::log(p.max(LEAST_PROBABILITY))
}

/// One bin of the reliability diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Judged forecasts in the bin.
    pub count: u64,
    /// Those that hit.
    pub hits: u64,
    /// Sum of their probabilities.
    pub probability: f64,
}

/// Sums over the judged forecasts of one strategy, symbol and horizon. The event is "the side called came true".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Judged forecasts.
    pub judged: u64,
    /// Those that hit.
    pub hits: u64,
    /// Σ (p − hit)² (Brier 1950, of the binary event).
    pub brier: f64,
    /// Σ (b − hit)²: the same of the base rate.
    pub reference_brier: f64,
    /// Σ −ln of the probability given to what came, nats.
    pub log_loss: f64,
    /// Reliability by probability.
    pub bins: [CalibrationBin; BINS],
    /// Forecasts void for a gap.
    pub void_gap: u64,
    /// Forecasts void for a stale price.
    pub void_stale_price: u64,
}

impl Calibration {
    /// Adds one judged forecast.
    pub fn add(&mut self, scored: &Scored) {
        self.judged += 1;
        self.hits += u64::from(scored.hit);
        self.brier += scored.brier();
        self.reference_brier += scored.reference_brier();
        self.log_loss += log_loss(if scored.hit {
            scored.probability
        } else {
            1.0 - scored.probability
        });
        let bin = &mut self.bins[bin_of(scored.probability)];
        bin.count += 1;
        bin.hits += u64::from(scored.hit);
        bin.probability += scored.probability;
    }

    /// Counts a forecast that could not be judged.
    pub fn add_void(&mut self, reason: VoidReason) {
        match reason {
            VoidReason::Gap => self.void_gap += 1,
            VoidReason::StalePrice => self.void_stale_price += 1,
        }
    }

    /// Adds the sums of other forecasts.
    pub fn merge(&mut self, other: &Self) {
        self.judged += other.judged;
        self.hits += other.hits;
        self.brier += other.brier;
        self.reference_brier += other.reference_brier;
        self.log_loss += other.log_loss;
        for (bin, other) in self.bins.iter_mut().zip(&other.bins) {
            bin.count += other.count;
            bin.hits += other.hits;
            bin.probability += other.probability;
        }
        self.void_gap += other.void_gap;
        self.void_stale_price += other.void_stale_price;
    }

    /// Share of hits; `None` before the first judged forecast.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        self.mean(count_as_f64(self.hits))
    }

    /// Mean Brier score, 0 best; `None` before the first judged forecast.
    #[must_use]
    pub fn mean_brier(&self) -> Option<f64> {
        self.mean(self.brier)
    }

    /// Mean Brier score of the base rate; `None` before the first judged forecast.
    #[must_use]
    pub fn mean_reference_brier(&self) -> Option<f64> {
        self.mean(self.reference_brier)
    }

    /// Mean logarithmic loss in nats; `None` before the first judged forecast.
    #[must_use]
    pub fn mean_log_loss(&self) -> Option<f64> {
        self.mean(self.log_loss)
    }

    /// Brier skill against the base rate; `None` before the first judged forecast.
    #[must_use]
    pub fn brier_skill(&self) -> Option<f64> {
        brier_skill(self.brier, self.reference_brier)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.judged > 0).then(|| sum / count_as_f64(self.judged))
    }
}

/// 1 − Brier / reference: above zero where the probabilities beat the base rate; `None` without a reference.
#[must_use]
pub(crate) fn brier_skill(brier: f64, reference: f64) -> Option<f64> {
    (reference > 0.0).then(|| 1.0 - brier / reference)
}

#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn count_as_f64(count: u64) -> f64 {
    count as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a probability times 20 lies in 0–20"
)]
fn bin_of(probability: f64) -> usize {
    ((probability * 20.0) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scored(probability: f64, base_rate: f64, hit: bool) -> Scored {
        Scored {
            probability,
            base_rate,
            hit,
        }
    }

    fn sums(all: &[Scored]) -> Calibration {
        let mut sums = Calibration::default();
        for one in all {
            sums.add(one);
        }
        sums
    }

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-15)
    }

    #[test]
    fn two_forecasts_score_as_computed_by_hand() {
        let sums = sums(&[scored(0.75, 0.5, true), scored(0.25, 0.5, true)]);
        assert!(close(sums.mean_brier(), 0.3125));
        assert!(close(sums.mean_reference_brier(), 0.25));
        assert!(close(sums.brier_skill(), 1.0 - 0.3125 / 0.25));
        assert!(close(sums.mean_log_loss(), 0.836_988_216_785_835_8));
        assert!(close(sums.hit_rate(), 1.0));
        assert_eq!(
            sums.bins[15],
            CalibrationBin {
                count: 1,
                hits: 1,
                probability: 0.75
            }
        );
        assert_eq!(
            sums.bins[5],
            CalibrationBin {
                count: 1,
                hits: 1,
                probability: 0.25
            }
        );
    }

    #[test]
    fn nothing_judged_gives_no_means() {
        let mut sums = Calibration::default();
        sums.add_void(VoidReason::Gap);
        sums.add_void(VoidReason::StalePrice);
        assert_eq!((sums.void_gap, sums.void_stale_price, sums.judged), (1, 1, 0));
        assert_eq!(
            (sums.hit_rate(), sums.mean_brier(), sums.brier_skill()),
            (None, None, None)
        );
    }

    #[test]
    fn certainty_gone_wrong_costs_much_and_stays_finite() {
        let sums = sums(&[scored(1.0, 0.5, false)]);
        assert!(sums.log_loss > 34.0 && sums.log_loss.is_finite());
        assert_eq!(sums.bins[19].count, 1);
        assert!(log_loss(1.0).is_sign_positive());
    }

    fn any_scored() -> impl Strategy<Value = Scored> {
        (0.001..0.999_f64, 0.001..0.999_f64, any::<bool>()).prop_map(|(p, b, hit)| scored(p, b, hit))
    }

    proptest! {
        #[test]
        fn merged_parts_tell_the_same_as_one_replay(all in prop::collection::vec(any_scored(), 1..300), cut in 0..300_usize) {
            let (first, second) = all.split_at(cut.min(all.len()));
            let mut merged = sums(first);
            merged.merge(&sums(second));
            let replayed = sums(&all);
            prop_assert_eq!((merged.judged, merged.hits), (replayed.judged, replayed.hits));
            for (a, b) in [
                (merged.brier, replayed.brier),
                (merged.reference_brier, replayed.reference_brier),
                (merged.log_loss, replayed.log_loss),
            ] {
                prop_assert!((a - b).abs() <= 1e-12 * b.max(1.0));
            }
            for (a, b) in merged.bins.iter().zip(&replayed.bins) {
                prop_assert_eq!((a.count, a.hits), (b.count, b.hits));
                prop_assert!((a.probability - b.probability).abs() <= 1e-12 * b.probability.max(1.0));
            }
        }
    }
}
