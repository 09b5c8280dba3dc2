//! What was noticed about an input: counts by kind, holes in ids, clocks that disagree. Nothing here rejects anything.

use std::collections::BTreeMap;
use std::fmt;

use super::gaps::{IdSequences, IdStep};
use super::{FeedRecord, OwnedTrade};

/// How many kinds of skipped messages are told apart, and how many characters of each are kept. A kind is the input's own word:
/// of a strange input every message may have another, of any length.
const SKIPPED_KINDS: usize = 30;
const KIND_CHARACTERS: usize = 100;
/// Counts what came after that many kinds.
const OTHER_KINDS: &str = "other kinds";

/// Counters over the records of one input.
#[derive(Debug, Default)]
pub struct Quality {
    /// Trades.
    pub trades: u64,
    /// Ticks.
    pub ticks: u64,
    /// Gap records.
    pub gaps: u64,
    /// Canonical lines that do not decode.
    pub undecodable: u64,
    /// What was skipped, by kind; the kinds beyond the first [`SKIPPED_KINDS`] as one, [`OTHER_KINDS`].
    pub skipped: BTreeMap<String, u64>,
    /// Holes in the ids of a symbol.
    pub id_gaps: u64,
    /// Ids inside those holes.
    pub missing_ids: u64,
    /// Ids not above their symbol's newest.
    pub repeated_ids: u64,
    /// Trades received before they happened: the recorder's clock was behind the venue's.
    pub skewed: u64,
    /// The largest such difference, microseconds.
    pub largest_skew_us: i64,
    sequences: Option<IdSequences>,
}

impl Quality {
    /// Ids are judged only where the venue numbers its trades without holes.
    #[must_use]
    pub fn new(dense_ids: bool) -> Self {
        Self {
            sequences: dense_ids.then(IdSequences::default),
            ..Self::default()
        }
    }

    /// Takes the next record in arrival order.
    pub fn observe(&mut self, record: &FeedRecord) {
        match record {
            FeedRecord::Trade(trade) => self.observe_trade(trade),
            FeedRecord::Tick { .. } => self.ticks += 1,
            FeedRecord::Gap { .. } => self.gaps += 1,
            FeedRecord::Undecodable(_) => self.undecodable += 1,
            FeedRecord::Skipped(kind) => self.observe_skipped(printable(kind)),
        }
    }

    fn observe_skipped(&mut self, kind: String) {
        let is_told_apart = self.skipped.len() < SKIPPED_KINDS || self.skipped.contains_key(&kind);
        let kind = if is_told_apart { kind } else { OTHER_KINDS.to_owned() };
        *self.skipped.entry(kind).or_default() += 1;
    }

    fn observe_trade(&mut self, trade: &OwnedTrade) {
        self.trades += 1;
        let skew_us = trade.event_time_us - trade.received_time_us;
        self.skewed += u64::from(skew_us > 0);
        self.largest_skew_us = self.largest_skew_us.max(skew_us);
        match self.sequences.as_mut().map(|sequences| sequences.observe(trade)) {
            None | Some(IdStep::Next) => {}
            Some(IdStep::Missing { ids, .. }) => {
                self.id_gaps += 1;
                self.missing_ids = self.missing_ids.saturating_add(ids);
            }
            Some(IdStep::Repeated) => self.repeated_ids += 1,
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trades, {} ticks, {} gap records",
            self.trades, self.ticks, self.gaps
        )?;
        if self.undecodable > 0 {
            write!(
                f,
                "\n{} lines do not decode and were sent as they are: they become dead letters",
                self.undecodable
            )?;
        }
        if self.id_gaps > 0 {
            write!(f, "\nids: {} holes with {} ids missing", self.id_gaps, self.missing_ids)?;
        }
        if self.repeated_ids > 0 {
            write!(
                f,
                "\nids: {} not above their symbol's newest (copies, or out of order)",
                self.repeated_ids
            )?;
        }
        if self.skewed > 0 {
            let (skewed, milliseconds) = (self.skewed, self.largest_skew_us / 1000);
            write!(
                f,
                "\nclocks: {skewed} trades received before they happened, by up to {milliseconds} ms"
            )?;
        }
        for (kind, count) in &self.skipped {
            write!(f, "\nskipped: {count} × {kind}")?;
        }
        Ok(())
    }
}

/// The beginning of a kind, without what a terminal would obey.
fn printable(kind: &str) -> String {
    let mut rest = kind.chars();
    let beginning = rest.by_ref().take(KIND_CHARACTERS);
    let mut text: String = beginning
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if rest.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests_support::trade_at;
    use super::*;

    #[test]
    fn holes_copies_and_clock_skew_are_counted_and_told() {
        let mut quality = Quality::new(true);
        for (id, time) in [(1, 10), (4, 20), (4, 20)] {
            quality.observe(&FeedRecord::Trade(trade_at("A", id, time)));
        }
        let behind = OwnedTrade {
            received_time_us: 5_000_000,
            ..trade_at("A", 5, 6_270_000)
        };
        quality.observe(&FeedRecord::Trade(behind));
        quality.observe(&FeedRecord::Skipped("depthUpdate".into()));
        let told = quality.to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "4 trades, 0 ticks, 0 gap records",
                "ids: 1 holes with 2 ids missing",
                "ids: 1 not above their symbol's newest (copies, or out of order)",
                "clocks: 1 trades received before they happened, by up to 1270 ms",
                "skipped: 1 × depthUpdate",
            ]
        );
    }

    #[test]
    fn of_countless_kinds_the_first_are_told_apart_and_the_rest_are_counted_as_one() {
        let mut quality = Quality::new(false);
        for number in 0..1000 {
            quality.observe(&FeedRecord::Skipped(format!("kind {number}")));
            quality.observe(&FeedRecord::Skipped("kind 0".into()));
        }
        assert_eq!(quality.skipped.len(), SKIPPED_KINDS + 1);
        assert_eq!(quality.skipped["kind 0"], 1001);
        assert_eq!(quality.skipped[OTHER_KINDS], 1000 - SKIPPED_KINDS as u64);
    }

    #[test]
    fn a_kind_is_cut_and_shows_a_terminal_nothing_to_obey() {
        let mut quality = Quality::new(false);
        let longest = "é".repeat(KIND_CHARACTERS);
        for kind in [longest.clone(), longest.clone() + "and more", "\u{1b}[2Jred".into()] {
            quality.observe(&FeedRecord::Skipped(kind));
        }
        let kinds: Vec<_> = quality.skipped.into_keys().collect();
        assert_eq!(kinds, [longest.clone(), longest + "…", "\u{fffd}[2Jred".into()]);
    }
}
