//! How far a published probability can be trusted: its interval and its level, from the number of comparable cases,
//! the recent skill and the state of the inputs. It never changes the probability.

use serde::{Deserialize, Serialize};

use super::inverse_normal_cdf;

/// Confidence level of a forecast, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Too few cases, doubtful inputs, or a recent record worse than the base rate.
    Low,
    /// Neither of the others.
    Medium,
    /// Many cases, an edge beyond chance among all cells watched, and recent skill.
    High,
}

impl Level {
    /// The level as it stands in rows and summaries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}

/// What a level is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Probability of the side called.
    pub probability: f64,
    /// Base rate of the side called.
    pub base_rate: f64,
    /// Decayed number of independent cases behind the base rate.
    pub base_cases: f64,
    /// Decayed number of comparable past cases.
    pub cases: f64,
    /// Brier skill of the last 200 outcomes; `None` before the first.
    pub recent_skill: Option<f64>,
    /// Whether the windows behind the indicators are full and without a gap.
    pub inputs_ready: bool,
}

/// Below this many cases a level is LOW.
const FEW_CASES: f64 = 50.0;
/// From this many cases a level may be HIGH.
const MANY_CASES: f64 = 200.0;
/// Recent Brier skill below which a level is LOW.
const UNSKILLED: f64 = -0.02;
/// Chance that any of all cells is ever HIGH without an edge (Bonferroni over cells and looks).
const FALSE_ALARM: f64 = 0.05;
/// Independent looks that a cell gets. It is judged at every signal, but its record changes slowly: between 200 cases
/// and the length of its memory lie a few looks, and a few more for every memory that passes. Judged as if once, two
/// of 24 random walks of 200 hours were called HIGH.
const LOOKS: f64 = 20.0;
/// Φ⁻¹(0.95): half-width of a 90 % interval in standard deviations.
const Z_90: f64 = 1.644_853_626_951_472_7;

/// Turns evidence into levels and intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceScorer {
    prior_strength: f64,
    z_of_all_cells: f64,
}

impl ConfidenceScorer {
    /// A scorer for forecasts among `cells` cells of (strategy, symbol, horizon, bucket), with prior weight κ.
    ///
    /// z = Φ⁻¹(1 − 0.05/cells), taken from the lower tail, where no digits are lost.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "cells are far fewer than 2^53")]
    pub fn new(prior_strength: f64, cells: u64) -> Self {
        let tail = FALSE_ALARM / (cells.max(1) as f64 * LOOKS);
        Self {
            prior_strength,
            z_of_all_cells: -inverse_normal_cdf(tail),
        }
    }

    /// Standard deviation of a share: that of the Beta posterior, sqrt(p(1−p)/(n+κ+1)).
    #[must_use]
    pub fn standard_deviation(&self, probability: f64, cases: f64) -> f64 {
        (probability * (1.0 - probability) / (cases + self.prior_strength + 1.0)).sqrt()
    }

    /// Bounds of the 90 % interval of a share, inside 0–1.
    #[must_use]
    pub fn interval(&self, probability: f64, cases: f64) -> (f64, f64) {
        let half = Z_90 * self.standard_deviation(probability, cases);
        ((probability - half).max(0.0), (probability + half).min(1.0))
    }

    /// Standard deviation of probability − base rate: the base rate is an estimate as well.
    fn deviation_of_edge(&self, evidence: &Evidence) -> f64 {
        let of_probability = self.standard_deviation(evidence.probability, evidence.cases);
        let base_variance = evidence.base_rate * (1.0 - evidence.base_rate) / evidence.base_cases.max(1.0);
        (of_probability * of_probability + base_variance).sqrt()
    }

    /// The level of a forecast.
    #[must_use]
    pub fn level(&self, evidence: &Evidence) -> Level {
        let unskilled = evidence.recent_skill.is_some_and(|skill| skill < UNSKILLED);
        if evidence.cases < FEW_CASES || !evidence.inputs_ready || unskilled {
            return Level::Low;
        }
        let skilled = evidence.recent_skill.is_some_and(|skill| skill > 0.0);
        let doubt = self.z_of_all_cells * self.deviation_of_edge(evidence);
        if evidence.cases >= MANY_CASES && skilled && evidence.probability - doubt > evidence.base_rate {
            return Level::High;
        }
        Level::Medium
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scorer() -> ConfidenceScorer {
        ConfidenceScorer::new(30.0, 8)
    }

    fn strong() -> Evidence {
        Evidence {
            probability: 0.6,
            base_rate: 0.31,
            base_cases: 1_000.0,
            cases: 200.0,
            recent_skill: Some(0.05),
            inputs_ready: true,
        }
    }

    #[test]
    fn many_cases_an_edge_and_skill_make_it_high() {
        assert_eq!(scorer().level(&strong()), Level::High);
    }

    #[test]
    fn one_condition_short_of_high_is_medium() {
        for evidence in [
            Evidence {
                cases: 199.9,
                ..strong()
            },
            Evidence {
                probability: 0.38,
                ..strong()
            },
            Evidence {
                recent_skill: Some(0.0),
                ..strong()
            },
        ] {
            assert_eq!(scorer().level(&evidence), Level::Medium, "{evidence:?}");
        }
    }

    #[test]
    fn few_cases_doubtful_inputs_or_a_bad_recent_record_make_it_low() {
        for evidence in [
            Evidence {
                cases: 49.9,
                ..strong()
            },
            Evidence {
                inputs_ready: false,
                ..strong()
            },
            Evidence {
                recent_skill: Some(-0.021),
                ..strong()
            },
        ] {
            assert_eq!(scorer().level(&evidence), Level::Low, "{evidence:?}");
        }
        assert_eq!(
            scorer().level(&Evidence {
                recent_skill: Some(-0.02),
                ..strong()
            }),
            Level::Medium
        );
    }

    #[test]
    fn the_edge_must_be_larger_where_more_cells_are_watched() {
        // sd = sqrt(0.44 · 0.56 / 231 + 0.3 · 0.7 / 1000) = 0.0357; z = 3.421 for 8 cells, 4.744 for 2,400.
        let evidence = Evidence {
            probability: 0.44,
            base_rate: 0.3,
            ..strong()
        };
        assert_eq!(ConfidenceScorer::new(30.0, 8).level(&evidence), Level::High);
        assert_eq!(ConfidenceScorer::new(30.0, 2_400).level(&evidence), Level::Medium);
    }

    #[test]
    fn a_base_rate_from_few_cases_is_no_ground_to_stand_out_from() {
        let edge = |base_cases| Evidence {
            probability: 0.46,
            base_cases,
            ..strong()
        };
        assert_eq!(scorer().level(&edge(1_000.0)), Level::High);
        assert_eq!(scorer().level(&edge(50.0)), Level::Medium);
    }

    #[test]
    fn the_interval_is_that_of_the_posterior_inside_zero_and_one() {
        let (low, high) = scorer().interval(0.5, 69.0);
        assert!((low - (0.5 - 0.082_242_681_347_573_6)).abs() < 1e-12);
        assert!((high - (0.5 + 0.082_242_681_347_573_6)).abs() < 1e-12);
        let (low, _) = scorer().interval(0.01, 0.0);
        assert_eq!(low.to_bits(), 0.0_f64.to_bits());
        assert_eq!(scorer().interval(0.99, 0.0).1.to_bits(), 1.0_f64.to_bits());
    }
}
