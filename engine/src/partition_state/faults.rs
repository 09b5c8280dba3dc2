//! A symbol that panics is left out from then on; the others go on.
//!
//! A panic is a defect, but a deterministic one: it comes at the same record in every replay, and so does the fault.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::PartitionState;
use crate::effects::{Effects, Fault};
use crate::symbol_table::{FaultedSymbol, SymbolState};

/// Runs work on one symbol; a panic gives its message. The caller throws the symbol's state away then, so that none
/// of it can be seen half changed.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic without a message".into())
    })
}

impl PartitionState {
    /// Marks a symbol FAULTED. Of its state only the last trade stays, which is whole at any time.
    #[cold]
    pub(super) fn fault(&mut self, number: usize, offset: i64, message: String, effects: &mut Effects) {
        let entry = self.symbols.entry_mut(number);
        if let SymbolState::Live(live) = &entry.state {
            entry.state = SymbolState::Faulted(FaultedSymbol {
                last: live.head.last,
                version: offset,
            });
        }
        effects.faults.push(Fault {
            symbol: entry.name.to_string(),
            offset,
            message,
        });
        // Counted anew: the panic may have come in the middle of the symbol's first close.
        self.watched_symbols = self.symbols.in_order().map(|entry| u64::from(entry.is_watched())).sum();
        self.schedule.set(number, None);
        self.touch(number);
    }
}

/// A panic that a test asked for.
#[cfg(any(test, feature = "fault-injection"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedPanic {
    symbol: Box<str>,
    slot_end_us: i64,
}

/// Whether the planned panic is to happen in this turn.
#[cfg(any(test, feature = "fault-injection"))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike(bool);

#[cfg(any(test, feature = "fault-injection"))]
impl Strike {
    #[allow(clippy::panic, reason = "a panic is what the test asked for")]
    pub(super) fn strike(self) {
        assert!(!self.0, "planned by a test");
    }
}

#[cfg(any(test, feature = "fault-injection"))]
impl PartitionState {
    /// Makes the close of a symbol's slot panic, once. Not part of the state: a replay plans it again.
    pub fn panic_at_close(&mut self, symbol: &str, slot_end_us: i64) {
        self.planned_panic = Some(PlannedPanic {
            symbol: symbol.into(),
            slot_end_us,
        });
    }

    pub(super) fn take_planned_panic(&mut self, number: usize, now_us: i64) -> Strike {
        let symbol = &self.symbols.entry(number).name;
        let is_now = |planned: &mut PlannedPanic| planned.symbol == *symbol && planned.slot_end_us == now_us;
        Strike(self.planned_panic.take_if(is_now).is_some())
    }
}
