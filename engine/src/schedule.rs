//! Which symbols have something due, and when: so that a record costs nothing for the symbols that have not.
//!
//! Everything here follows from the symbols' own states; it is neither hashed nor part of a snapshot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Earliest due time per symbol. A symbol may stand in the heap several times; only the entry that agrees with
/// `due_us` counts, the others are dropped when they surface.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    due_us: Vec<Option<i64>>,
}

impl Schedule {
    /// Makes `due_us` the time at which a symbol is looked at next.
    pub(crate) fn set(&mut self, symbol: usize, due_us: Option<i64>) {
        if self.due_us.len() <= symbol {
            self.due_us.resize(symbol + 1, None);
        }
        if self.due_us[symbol] == due_us {
            return;
        }
        self.due_us[symbol] = due_us;
        if let Some(due_us) = due_us {
            self.heap.push(Reverse((due_us, symbol)));
        }
    }

    /// The time planned for a symbol, microseconds.
    pub(crate) fn due_us(&self, symbol: usize) -> Option<i64> {
        self.due_us.get(symbol).copied().flatten()
    }

    /// The earliest time at which a symbol may have something due, microseconds.
    pub(crate) fn earliest_us(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((due_us, _))| *due_us)
    }

    /// Takes the symbols due at the earliest time out, if that is at or before `until_us`.
    pub(crate) fn take_due(&mut self, until_us: i64, symbols: &mut Vec<usize>) -> Option<i64> {
        symbols.clear();
        let earliest = self.earliest_us().filter(|earliest| *earliest <= until_us)?;
        while let Some(Reverse((due_us, symbol))) =
            self.heap.peek().copied().filter(|Reverse((due, _))| *due == earliest)
        {
            self.heap.pop();
            if self.due_us[symbol] == Some(due_us) {
                self.due_us[symbol] = None;
                symbols.push(symbol);
            }
        }
        Some(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_on_a_symbol_counts() {
        let mut schedule = Schedule::default();
        schedule.set(1, Some(30));
        schedule.set(0, Some(20));
        schedule.set(1, Some(20));
        schedule.set(1, Some(10));
        let mut due = Vec::new();
        assert_eq!(schedule.take_due(15, &mut due), Some(10));
        assert_eq!(due, [1]);
        assert_eq!(schedule.take_due(100, &mut due), Some(20));
        assert_eq!(due, [0]);
        assert_eq!(schedule.take_due(100, &mut due), Some(30));
        assert!(due.is_empty());
        assert_eq!(schedule.take_due(100, &mut due), None);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut schedule = Schedule::default();
        schedule.set(0, Some(20));
        assert_eq!(schedule.take_due(19, &mut Vec::new()), None);
        assert_eq!(schedule.earliest_us(), Some(20));
    }
}
