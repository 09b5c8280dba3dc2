//! The state of one partition of one revision, and the step function.
//!
//! State and rows are a function of the records and the settings: no clock, no batch edge and no snapshot changes them.

mod counters;
mod faults;
mod scores;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128_with_seed;

pub use self::counters::Counters;
pub use self::scores::Score;
use crate::rules::Rules;
use crate::schedule::Schedule;
use crate::symbol_state::{Admission, LiveSymbol, Turn, due_of_new_second};
use crate::symbol_table::{SymbolState, SymbolTable};
use crate::symbol_view;
use crate::trade::{check_event_time, is_valid_symbol};
use crate::watermark::EventTime;
use crate::{Disposition, Effects, Position, Record, Rejection, Settings, SymbolView, Trade};

/// Digest of a state: equal digests mean equal states, on every machine and after every recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest(pub u128);

/// A snapshot that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("snapshot cannot be restored: {0}")]
pub struct SnapshotError(pub String);

/// Everything that the results of a partition depend on.
#[derive(Debug, Clone)]
pub struct PartitionState {
    rules: Arc<Rules>,
    time: EventTime,
    counters: Counters,
    symbols: SymbolTable,
    /// Symbols with a closed slot.
    watched_symbols: u64,
    schedule: Schedule,
    /// Sum of the symbols' digests as they stood when they were computed last.
    symbols_digest: u128,
    /// Symbols whose digest is out of date.
    touched: Vec<usize>,
    scratch: Vec<u8>,
    due: Vec<usize>,
    #[cfg(any(test, feature = "fault-injection"))]
    planned_panic: Option<faults::PlannedPanic>,
}

impl PartitionState {
    /// The state before the first record.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            rules: Arc::new(Rules::new(settings)),
            time: EventTime::default(),
            counters: Counters::default(),
            symbols: SymbolTable::default(),
            watched_symbols: 0,
            schedule: Schedule::default(),
            symbols_digest: 0,
            touched: Vec::new(),
            scratch: Vec::new(),
            due: Vec::new(),
            #[cfg(any(test, feature = "fault-injection"))]
            planned_panic: None,
        }
    }

    /// Applies one decoded record and appends its rows to `effects`.
    ///
    /// A trade is judged against the state before it: rejected, then duplicate, then late. Only an accepted one moves
    /// event time, and only then do the slots close that this makes due.
    pub fn step(&mut self, record: &Record<'_>, at: Position, effects: &mut Effects) -> Disposition {
        let disposition = match record {
            Record::Trade(trade) => self.step_trade(trade, at, effects),
            Record::Tick { event_time_us } => self.step_tick(*event_time_us, at, effects),
            Record::Gap { symbol, from_us, to_us } => self.step_gap(symbol, (*from_us, *to_us), at),
        };
        self.counters.count(record, disposition);
        disposition
    }

    /// Counts a record that could not be decoded.
    pub fn reject(&mut self, reason: Rejection) {
        self.counters.count_rejected(reason);
    }

    fn step_trade(&mut self, trade: &Trade<'_>, at: Position, effects: &mut Effects) -> Disposition {
        if let Err(reason) = trade.check(at.record_time_us) {
            return Disposition::Rejected(reason);
        }
        let is_late = self.time.is_late(trade.event_time_us, self.rules.settings.lateness_us);
        let number = match self.symbols.find(trade.symbol) {
            Some(number) => number,
            None if !is_valid_symbol(trade.symbol) => return Disposition::Rejected(Rejection::InvalidSymbol),
            None if is_late => return Disposition::Late,
            None => self.add_symbol(trade.symbol),
        };
        let SymbolState::Live(live) = &mut self.symbols.entry_mut(number).state else {
            return Disposition::Faulted;
        };
        let admitted = match live.admit(trade) {
            Admission::New { venue, id } => (venue, id),
            Admission::Duplicate => return Disposition::Duplicate,
            Admission::Rejected(reason) => return Disposition::Rejected(reason),
        };
        if is_late {
            return Disposition::Late;
        }
        let taken = faults::contain(|| live.take(trade, admitted, at.offset));
        match taken {
            Ok(is_new_second) => self.taken(number, trade, is_new_second),
            Err(message) => self.fault(number, at.offset, message, effects),
        }
        self.observe(trade.event_time_us, at.offset, effects);
        Disposition::Accepted
    }

    fn add_symbol(&mut self, name: &str) -> usize {
        let live = LiveSymbol::new(&self.rules, name);
        self.symbols.add(name, SymbolState::Live(Box::new(live)), &self.rules)
    }

    fn taken(&mut self, number: usize, trade: &Trade<'_>, is_new_second: bool) {
        self.touch(number);
        if is_new_second {
            let due_us = due_of_new_second(trade.event_time_us);
            let due_us = self
                .schedule
                .due_us(number)
                .map_or(due_us, |planned| planned.min(due_us));
            self.schedule.set(number, Some(due_us));
        }
    }

    fn step_tick(&mut self, event_time_us: i64, at: Position, effects: &mut Effects) -> Disposition {
        if let Err(reason) = check_event_time(event_time_us, None, at.record_time_us) {
            return Disposition::Rejected(reason);
        }
        self.observe(event_time_us, at.offset, effects);
        Disposition::Accepted
    }

    /// A gap of a symbol that has not traded yet says nothing: its windows are not full either way.
    fn step_gap(&mut self, symbol: &str, (from_us, to_us): (i64, i64), at: Position) -> Disposition {
        if !is_valid_symbol(symbol) {
            return Disposition::Rejected(Rejection::InvalidSymbol);
        }
        if from_us >= to_us || check_event_time(from_us, None, None).is_err() {
            return Disposition::Rejected(Rejection::InvalidField);
        }
        if let Err(reason) = check_event_time(to_us, None, at.record_time_us) {
            return Disposition::Rejected(reason);
        }
        let Some(number) = self.symbols.find(symbol) else {
            return Disposition::Accepted;
        };
        let SymbolState::Live(live) = &mut self.symbols.entry_mut(number).state else {
            return Disposition::Faulted;
        };
        live.note_gap(from_us, to_us);
        self.touch(number);
        Disposition::Accepted
    }

    /// Moves event time and lets the watermark pass everything that this makes due, in the order (time, symbol).
    fn observe(&mut self, event_time_us: i64, offset: i64, effects: &mut Effects) {
        if !self.time.observe(event_time_us) {
            return;
        }
        let watermark_us = event_time_us - self.rules.settings.lateness_us;
        if self
            .schedule
            .earliest_us()
            .is_some_and(|earliest| earliest <= watermark_us)
        {
            self.advance(watermark_us, offset, effects);
        }
    }

    #[cold]
    fn advance(&mut self, watermark_us: i64, offset: i64, effects: &mut Effects) {
        let mut due = std::mem::take(&mut self.due);
        while let Some(now_us) = self.schedule.take_due(watermark_us, &mut due) {
            due.sort_unstable_by_key(|number| self.symbols.rank(*number));
            for number in &due {
                self.advance_symbol(*number, (now_us, watermark_us), offset, effects);
            }
        }
        self.due = due;
    }

    fn advance_symbol(
        &mut self,
        number: usize,
        (now_us, watermark_us): (i64, i64),
        offset: i64,
        effects: &mut Effects,
    ) {
        #[cfg(any(test, feature = "fault-injection"))]
        let planned_panic = self.take_planned_panic(number, now_us);
        let entry = self.symbols.entry_mut(number);
        let was_watched = entry.is_watched();
        let (name, SymbolState::Live(live)) = (&entry.name, &mut entry.state) else {
            return;
        };
        let rows = (effects.forecasts.len(), effects.outcomes.len());
        let mut turn = Turn {
            rules: &self.rules,
            symbol: name,
            offset,
            watermark_us,
            watched_symbols: self.watched_symbols + u64::from(!was_watched),
            effects,
        };
        let advanced = faults::contain(|| {
            live.advance(now_us, &mut turn);
            #[cfg(any(test, feature = "fault-injection"))]
            planned_panic.strike();
            live.next_due_us(turn.rules)
        });
        match advanced {
            Ok(due_us) => {
                self.schedule.set(number, due_us);
                self.watched_symbols += u64::from(self.symbols.entry(number).is_watched() && !was_watched);
                self.touch(number);
            }
            Err(message) => {
                effects.forecasts.truncate(rows.0);
                effects.outcomes.truncate(rows.1);
                self.fault(number, offset, message, effects);
            }
        }
    }

    fn touch(&mut self, number: usize) {
        let entry = self.symbols.entry_mut(number);
        if !entry.touched {
            entry.touched = true;
            self.touched.push(number);
        }
    }

    /// Digest of the whole state, from per-symbol digests kept up to date.
    pub fn digest(&mut self) -> StateDigest {
        for number in std::mem::take(&mut self.touched) {
            let entry = self.symbols.entry_mut(number);
            let digest = entry.compute_digest(&mut self.scratch).unwrap_or_default();
            self.symbols_digest = self.symbols_digest.wrapping_sub(entry.digest).wrapping_add(digest);
            (entry.digest, entry.touched) = (digest, false);
        }
        self.with_own_head(self.symbols_digest)
    }

    /// The same digest recomputed from nothing; a difference is a defect.
    #[must_use]
    pub fn digest_from_scratch(&self) -> StateDigest {
        let digests = self
            .symbols
            .in_order()
            .map(|entry| entry.digest_from_scratch().unwrap_or_default());
        self.with_own_head(digests.fold(0, u128::wrapping_add))
    }

    /// Adds the hash of what belongs to no symbol.
    fn with_own_head(&self, symbols: u128) -> StateDigest {
        let head = postcard::to_stdvec(&(&self.time, self.counters.as_document())).unwrap_or_default();
        StateDigest(symbols.wrapping_add(xxh3_128_with_seed(&head, self.rules.revision_seed())))
    }

    /// Highest accepted event time minus lateness, microseconds; `None` before the first trade.
    #[must_use]
    pub fn watermark_us(&self) -> Option<i64> {
        self.time.watermark_us(self.rules.settings.lateness_us)
    }

    /// Counters by reason.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Views of the symbols changed since the last call, in symbol order.
    ///
    /// Text is made here and only here; the closed part only where it changed.
    pub fn take_changed(&mut self) -> Vec<SymbolView> {
        let rules = Arc::clone(&self.rules);
        let numbers = self.symbols.numbers_in_order().to_vec();
        let mut views = Vec::new();
        for number in numbers {
            let entry = self.symbols.entry_mut(number);
            let version = entry.version();
            if entry.shown_version != Some(version) {
                entry.shown_version = Some(version);
                views.push(symbol_view::render(entry, &rules));
            }
        }
        views
    }

    /// Views of all symbols, in symbol order: what a republish writes.
    #[must_use]
    pub fn views(&self) -> Vec<SymbolView> {
        self.symbols
            .in_order()
            .map(|entry| symbol_view::render_anew(entry, &self.rules))
            .collect()
    }
}
