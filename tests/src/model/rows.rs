//! Rows of one partition in the order in which they were written.

use assay_engine::{Fault, Forecast, Outcome};
use assay_processor::stores::{Advance, DeadLetter};

/// All result rows of a partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    forecasts: Vec<Forecast>,
    outcomes: Vec<Outcome>,
    faults: Vec<Fault>,
    dead_letters: Vec<DeadLetter>,
}

/// How many rows there were at some moment: rows are append-only, so going back in time is a truncation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark([usize; 4]);

impl Rows {
    /// Adds the rows of an advance.
    pub(super) fn append(&mut self, advance: &Advance) {
        self.forecasts.extend_from_slice(&advance.forecasts);
        self.outcomes.extend_from_slice(&advance.outcomes);
        self.faults.extend_from_slice(&advance.faults);
        self.dead_letters.extend_from_slice(&advance.dead_letters);
    }

    /// Whether any row of the advance exists already, by the keys of the tables.
    #[must_use]
    pub(super) fn collide(&self, advance: &Advance) -> bool {
        let forecast = |row: &Forecast| self.forecasts.iter().any(|own| own.id == row.id);
        let outcome = |row: &Outcome| self.outcomes.iter().any(|own| own.forecast.id == row.forecast.id);
        let letter = |row: &DeadLetter| self.dead_letters.iter().any(|own| own.offset == row.offset);
        advance.forecasts.iter().any(forecast)
            || advance.outcomes.iter().any(outcome)
            || advance.dead_letters.iter().any(letter)
    }

    /// Whether the rows between two moments are exactly those of the advance.
    pub(super) fn holds(&self, advance: &Advance, Mark(from): Mark, Mark(to): Mark) -> bool {
        self.forecasts[from[0]..to[0]] == advance.forecasts
            && self.outcomes[from[1]..to[1]] == advance.outcomes
            && self.faults[from[2]..to[2]] == advance.faults
            && self.dead_letters[from[3]..to[3]] == advance.dead_letters
    }

    /// The present moment.
    #[must_use]
    pub(super) fn mark(&self) -> Mark {
        Mark([
            self.forecasts.len(),
            self.outcomes.len(),
            self.faults.len(),
            self.dead_letters.len(),
        ])
    }

    /// Forgets what was written since a moment.
    pub(super) fn truncate(&mut self, Mark([forecasts, outcomes, faults, dead_letters]): Mark) {
        self.forecasts.truncate(forecasts);
        self.outcomes.truncate(outcomes);
        self.faults.truncate(faults);
        self.dead_letters.truncate(dead_letters);
    }

    /// Forecasts and outcomes together: a log without them would prove little.
    #[must_use]
    pub(super) fn judged(&self) -> usize {
        self.forecasts.len() + self.outcomes.len()
    }

    /// Rows of all kinds.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.judged() + self.faults.len() + self.dead_letters.len()
    }
}
