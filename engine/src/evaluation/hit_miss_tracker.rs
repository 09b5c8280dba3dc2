//! The record of one strategy (or of the pool) on one symbol and horizon: the forecast still open, the sums over all
//! judged ones, and the last 200.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::calibration::brier_skill;
use super::{Calibration, FrozenForecast, Verdict};
use crate::effects::OutcomeKind;

/// Judged forecasts that count as recent.
pub const RECENT: usize = 200;

/// A judged forecast as scores see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Probability of the side called, as frozen.
    pub probability: f64,
    /// Base rate of the side called, as frozen.
    pub base_rate: f64,
    /// Whether the side called came true.
    pub hit: bool,
}

impl Scored {
    /// Squared distance of the probability from what came.
    #[must_use]
    pub fn brier(&self) -> f64 {
        squared_error(self.probability, self.hit)
    }

    /// Squared distance of the base rate from what came.
    #[must_use]
    pub fn reference_brier(&self) -> f64 {
        squared_error(self.base_rate, self.hit)
    }
}

fn squared_error(probability: f64, hit: bool) -> f64 {
    let error = if hit { 1.0 - probability } else { probability };
    error * error
}

/// Open forecast, sums and recent outcomes.
///
/// At most one forecast is open: outcomes that share part of their span are not independent, and counting them as if
/// they were would make a few hundred outcomes look like tens of thousands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HitMissTracker {
    open: Option<FrozenForecast>,
    calibration: Calibration,
    recent: VecDeque<Scored>,
}

impl HitMissTracker {
    /// Whether a further forecast would overlap the open one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The open forecast.
    #[must_use]
    pub fn open_forecast(&self) -> Option<&FrozenForecast> {
        self.open.as_ref()
    }

    /// Keeps a forecast until its outcome; one that overlaps is not kept.
    pub fn open(&mut self, forecast: &FrozenForecast) {
        if self.open.is_none() {
            self.open = Some(forecast.clone());
        }
    }

    /// Takes the open forecast if it is due at or before `until_us`.
    pub fn take_due(&mut self, until_us: i64) -> Option<FrozenForecast> {
        self.open.take_if(|open| open.due_us() <= until_us)
    }

    /// Scores an outcome.
    pub fn score(&mut self, forecast: &FrozenForecast, verdict: &Verdict) {
        if let Verdict::Void(reason) = verdict {
            self.calibration.add_void(*reason);
            return;
        }
        self.add(Scored {
            probability: forecast.probability(),
            base_rate: forecast.base_rate(),
            hit: verdict.kind(forecast.key.direction) == OutcomeKind::Hit,
        });
    }

    fn add(&mut self, scored: Scored) {
        self.calibration.add(&scored);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(scored);
    }

    /// Sums over all judged forecasts.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Judged forecasts among the last 200 and those that hit.
    #[must_use]
    pub fn recent_hits(&self) -> (usize, usize) {
        (
            self.recent.len(),
            self.recent.iter().filter(|scored| scored.hit).count(),
        )
    }

    /// Brier skill of the last 200 judged forecasts; `None` before the first. Summed anew each time, since a sum that
    /// is added to and subtracted from would drift.
    #[must_use]
    pub fn recent_skill(&self) -> Option<f64> {
        let brier = self.recent.iter().map(Scored::brier).sum();
        let reference = self.recent.iter().map(Scored::reference_brier).sum();
        brier_skill(brier, reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skill_looks_at_the_last_two_hundred_only() {
        let mut tracker = HitMissTracker::default();
        for _ in 0..RECENT {
            tracker.add(Scored {
                probability: 0.9,
                base_rate: 0.5,
                hit: false,
            });
        }
        assert!(
            tracker
                .recent_skill()
                .is_some_and(|skill| (skill - (1.0 - 0.81 / 0.25)).abs() < 1e-12)
        );
        for _ in 0..RECENT {
            tracker.add(Scored {
                probability: 0.75,
                base_rate: 0.5,
                hit: true,
            });
        }
        assert!(tracker.recent_skill().is_some_and(|skill| (skill - 0.75).abs() < 1e-12));
        assert_eq!(tracker.recent_hits(), (200, 200));
        assert_eq!(tracker.calibration().judged, 400);
    }

    #[test]
    fn there_is_no_skill_before_the_first_outcome() {
        assert_eq!(HitMissTracker::default().recent_skill(), None);
    }
}
