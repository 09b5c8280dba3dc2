//! Forecasts and outcomes by strategy and symbol, counted from the very rows that are committed.

use std::collections::BTreeMap;

use assay_engine::evaluation::{Calibration, Scored};
use assay_engine::{Outcome, OutcomeKind};
use serde::Serialize;

use crate::stores::Advance;

/// Scores by (strategy, symbol).
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(String, String), Score>);

/// What one strategy, or the pool, said about a symbol, and what came.
#[derive(Debug, Default)]
struct Score {
    forecasts: u64,
    overlapping: u64,
    levels: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<&'static str, u64>,
    voids: BTreeMap<&'static str, u64>,
    calibration: Calibration,
}

/// A [`Score`] with its means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreText {
    /// Strategy, or `pooled`.
    pub strategy: String,
    /// Symbol.
    pub symbol: String,
    /// Forecasts emitted, overlapping ones included.
    pub forecasts: u64,
    /// Forecasts while another was open: stored, but neither judged nor counted below.
    pub overlapping: u64,
    /// Forecasts by confidence level, overlapping ones included.
    pub confidence: BTreeMap<&'static str, u64>,
    /// Outcomes by kind: HIT, MISS, VOID.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// VOID outcomes by reason.
    pub void_reasons: BTreeMap<&'static str, u64>,
    /// Share of hits among the judged.
    pub hit_rate: Option<f64>,
    /// Mean Brier score.
    pub brier: Option<f64>,
    /// Mean Brier score of the base rate.
    pub reference_brier: Option<f64>,
    /// 1 − Brier / reference.
    pub brier_skill: Option<f64>,
    /// Mean logarithmic loss, nats.
    pub log_loss: Option<f64>,
}

impl Tally {
    /// Counts the rows of an advance.
    pub fn add(&mut self, advance: &Advance) {
        for forecast in &advance.forecasts {
            let score = self.score(&forecast.strategy, &forecast.symbol);
            score.forecasts += 1;
            score.overlapping += u64::from(forecast.overlapping);
            *score.levels.entry(forecast.confidence).or_default() += 1;
        }
        for outcome in &advance.outcomes {
            let forecast = &outcome.forecast;
            self.score(&forecast.strategy, &forecast.symbol).add_outcome(outcome);
        }
    }

    /// All scores in the order (strategy, symbol).
    #[must_use]
    pub fn scores(&self) -> Vec<ScoreText> {
        self.0
            .iter()
            .map(|((strategy, symbol), score)| score.text(strategy, symbol))
            .collect()
    }

    fn score(&mut self, strategy: &str, symbol: &str) -> &mut Score {
        self.0.entry((strategy.to_owned(), symbol.to_owned())).or_default()
    }
}

impl Score {
    /// Overlapping forecasts get an outcome as well; it counts nowhere.
    fn add_outcome(&mut self, outcome: &Outcome) {
        if outcome.forecast.overlapping {
            return;
        }
        *self.outcomes.entry(name(outcome.kind)).or_default() += 1;
        if outcome.kind == OutcomeKind::Void {
            *self.voids.entry(outcome.void_reason).or_default() += 1;
            return;
        }
        self.calibration.add(&Scored {
            probability: outcome.forecast.probability,
            base_rate: outcome.forecast.base_rate,
            hit: outcome.kind == OutcomeKind::Hit,
        });
    }

    fn text(&self, strategy: &str, symbol: &str) -> ScoreText {
        ScoreText {
            strategy: strategy.to_owned(),
            symbol: symbol.to_owned(),
            forecasts: self.forecasts,
            overlapping: self.overlapping,
            confidence: self.levels.clone(),
            outcomes: self.outcomes.clone(),
            void_reasons: self.voids.clone(),
            hit_rate: self.calibration.hit_rate(),
            brier: self.calibration.mean_brier(),
            reference_brier: self.calibration.mean_reference_brier(),
            brier_skill: self.calibration.brier_skill(),
            log_loss: self.calibration.mean_log_loss(),
        }
    }
}

fn name(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Hit => "HIT",
        OutcomeKind::Miss => "MISS",
        OutcomeKind::Void => "VOID",
    }
}
