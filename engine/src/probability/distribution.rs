//! Probabilities or counts over the three things a price can do, and the side a strategy calls.

use serde::{Deserialize, Serialize};

/// What a price did over the horizon, against the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Label {
    /// The log return reached the threshold.
    Up,
    /// It stayed inside.
    Flat,
    /// It reached the negative threshold.
    Down,
}

/// The side a strategy calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// The price is called to rise.
    Up,
    /// The price is called to fall.
    Down,
}

impl Direction {
    /// The outcome that makes this call a hit.
    #[must_use]
    pub const fn label(self) -> Label {
        match self {
            Self::Up => Label::Up,
            Self::Down => Label::Down,
        }
    }

    /// +1 up, −1 down: the form of rows.
    #[must_use]
    pub const fn sign(self) -> i8 {
        match self {
            Self::Up => 1,
            Self::Down => -1,
        }
    }
}

/// Three numbers, one a label: shares that sum to one, or counts at or above zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Number of [`Label::Up`].
    pub up: f64,
    /// Number of [`Label::Flat`].
    pub flat: f64,
    /// Number of [`Label::Down`].
    pub down: f64,
}

impl Distribution {
    /// Three numbers in the order up, flat, down.
    #[must_use]
    pub const fn new(up: f64, flat: f64, down: f64) -> Self {
        Self { up, flat, down }
    }

    /// The number of one label.
    #[must_use]
    pub const fn get(&self, label: Label) -> f64 {
        match label {
            Label::Up => self.up,
            Label::Flat => self.flat,
            Label::Down => self.down,
        }
    }

    /// The sum. The two sides are added first, so that a mirrored distribution has the same sum to the last bit.
    #[must_use]
    pub fn total(&self) -> f64 {
        (self.up + self.down) + self.flat
    }

    /// Up and down swapped.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self::new(self.down, self.flat, self.up)
    }

    /// Each number through `f`, with the number of the same label in `other`.
    #[must_use]
    pub fn zip_with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self::new(f(self.up, other.up), f(self.flat, other.flat), f(self.down, other.down))
    }

    /// Counts as shares of their sum.
    #[must_use]
    pub fn shares(&self) -> Self {
        let total = self.total();
        Self::new(self.up / total, self.flat / total, self.down / total)
    }

    /// Lets all counts fade by `decay` and adds one to `label`.
    pub fn count(&mut self, label: Label, decay: f64) {
        self.up *= decay;
        self.flat *= decay;
        self.down *= decay;
        match label {
            Label::Up => self.up += 1.0,
            Label::Flat => self.flat += 1.0,
            Label::Down => self.down += 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_fades_all_labels_and_adds_to_one() {
        let mut counts = Distribution::new(2.0, 4.0, 8.0);
        counts.count(Label::Down, 0.5);
        assert_eq!(counts, Distribution::new(1.0, 2.0, 5.0));
        assert_eq!(counts.shares(), Distribution::new(0.125, 0.25, 0.625));
    }

    #[test]
    fn mirroring_swaps_the_sides_and_keeps_the_sum() {
        let odd = Distribution::new(0.1, 0.7, 0.2);
        assert_eq!(odd.mirrored(), Distribution::new(0.2, 0.7, 0.1));
        assert_eq!(odd.mirrored().total().to_bits(), odd.total().to_bits());
    }
}
