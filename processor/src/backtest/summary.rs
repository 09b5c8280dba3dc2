//! `summary.json`: what was traded and how the forecasts fared. Decimals are text; the same input gives the same bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::figures::FiguresText;
use super::tally::ScoreText;
use super::{Figures, Finished};
use crate::feed::quality::Quality;

/// Counters of records that changed nothing or brought no trade; every other counter is a dead letter's reason.
const NOT_DEAD: [&str; 6] = ["accepted", "late", "duplicate", "ticks", "gaps", "faulted"];

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Revision id of the settings.
    pub revision: String,
    /// Highest watermark at the end, microseconds.
    pub watermark_us: Option<i64>,
    /// Records by what became of them.
    pub records: BTreeMap<&'static str, u64>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// What was noticed about the input.
    pub input: InputText,
    /// What was traded, by symbol.
    pub symbols: BTreeMap<String, FiguresText>,
    /// How the forecasts fared, by strategy and symbol; the pool is the strategy `pooled`.
    pub scores: Vec<ScoreText>,
}

/// Counts over the input as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputText {
    /// Trades.
    pub trades: u64,
    /// Holes in the ids.
    pub id_gaps: u64,
    /// Ids inside of the holes.
    pub missing_ids: u64,
    /// Ids not above their symbol's newest.
    pub repeated_ids: u64,
    /// Trades received before they happened.
    pub skewed_clock: u64,
    /// What was skipped, by kind.
    pub skipped: BTreeMap<String, u64>,
}

/// Puts the document together.
#[must_use]
pub fn summarize<S>(finished: &Finished<S>, quality: &Quality, figures: &BTreeMap<String, Figures>) -> Summary {
    let (records, dead_letters): (BTreeMap<_, _>, BTreeMap<_, _>) = finished
        .counters
        .iter()
        .map(|(name, count)| (*name, *count))
        .partition(|(name, _)| NOT_DEAD.contains(name));
    Summary {
        revision: finished.settings.revision.clone(),
        watermark_us: finished.watermark_us,
        records,
        dead_letters,
        input: InputText {
            trades: quality.trades,
            id_gaps: quality.id_gaps,
            missing_ids: quality.missing_ids,
            repeated_ids: quality.repeated_ids,
            skewed_clock: quality.skewed,
            skipped: quality.skipped.clone(),
        },
        symbols: figures
            .iter()
            .map(|(symbol, figures)| (symbol.clone(), figures.text()))
            .collect(),
        scores: finished.tally.scores(),
    }
}

/// The main figures as a table for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.input.trades == 0 {
            writeln!(f, "the input held no trade; check --trades and --format")?;
        }
        for (symbol, figures) in &self.symbols {
            let (vwap, deviation) = (shown(figures.vwap.as_ref()), shown(figures.standard_deviation.as_ref()));
            writeln!(
                f,
                "{symbol}: {} trades, volume {}, VWAP {vwap} ± {deviation}",
                figures.trades, figures.volume
            )?;
        }
        writeln!(f, "{:<18} {:<12} {HEADER}", "STRATEGY", "SYMBOL")?;
        for score in &self.scores {
            writeln!(f, "{score}")?;
        }
        let counts = self
            .records
            .iter()
            .chain(&self.dead_letters)
            .map(|(name, count)| format!("{count} {name}"));
        writeln!(f, "records: {}", counts.collect::<Vec<_>>().join(", "))?;
        for (kind, count) in &self.input.skipped {
            writeln!(f, "skipped: {count} × {kind}")?;
        }
        Ok(())
    }
}

const HEADER: &str = "FORECASTS     HIT    MISS    VOID  HIT RATE   SKILL";

impl fmt::Display for ScoreText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = |kind| self.outcomes.get(kind).copied().unwrap_or(0);
        write!(f, "{:<18} {:<12} {:>9}", self.strategy, self.symbol, self.forecasts)?;
        write!(
            f,
            " {:>7} {:>7} {:>7}",
            outcome("HIT"),
            outcome("MISS"),
            outcome("VOID")
        )?;
        write!(f, " {:>9} {:>7}", rounded(self.hit_rate), rounded(self.brier_skill))
    }
}

fn shown(text: Option<&String>) -> &str {
    text.map_or("–", String::as_str)
}

fn rounded(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}
