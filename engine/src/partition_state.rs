//! The state of one partition of one revision, and the step function.

use std::sync::Arc;

use crate::{Disposition, Effects, Position, Record, Rejection, Settings, SymbolView};

/// Digest of a state: equal digests mean equal states, on every machine and after every recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest(pub u128);

/// Records of a partition by what became of them, since `start_offset`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Trades that changed the state.
    pub accepted: u64,
    /// Trades whose slot was closed.
    pub late: u64,
    /// Copies.
    pub duplicate: u64,
    /// Ticks.
    pub ticks: u64,
    /// Gap records.
    pub gaps: u64,
    /// Records of a FAULTED symbol.
    pub faulted: u64,
    /// Dead letters by reason.
    pub rejected: std::collections::BTreeMap<&'static str, u64>,
}

/// A snapshot that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("snapshot cannot be restored: {0}")]
pub struct SnapshotError(pub String);

/// Everything that the results of a partition depend on.
#[derive(Debug, Clone)]
pub struct PartitionState {
    settings: Arc<Settings>,
}

impl PartitionState {
    /// The state before the first record.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings }
    }

    /// Applies one decoded record and appends its rows to `effects`.
    pub fn step(&mut self, _record: &Record<'_>, _at: Position, _effects: &mut Effects) -> Disposition {
        let _ = &self.settings;
        Disposition::Accepted
    }

    /// Counts a record that could not be decoded.
    pub fn reject(&mut self, _reason: Rejection) {}

    /// Digest of the whole state, from per-symbol digests kept up to date.
    pub fn digest(&mut self) -> StateDigest {
        StateDigest(0)
    }

    /// The same digest recomputed from nothing; a difference is a defect.
    #[must_use]
    pub fn digest_from_scratch(&self) -> StateDigest {
        StateDigest(0)
    }

    /// Highest accepted event time minus lateness; `None` before the first trade.
    #[must_use]
    pub fn watermark_us(&self) -> Option<i64> {
        None
    }

    /// Counters by reason.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        unimplemented!()
    }

    /// The state as compressed canonical bytes.
    ///
    /// # Errors
    /// Where the codec fails.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        Ok(Vec::new())
    }

    /// The state a snapshot was taken of.
    ///
    /// # Errors
    /// Truncated, corrupt or foreign bytes.
    pub fn restore(settings: Arc<Settings>, _bytes: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self { settings })
    }

    /// Views of the symbols changed since the last call, in symbol order.
    pub fn take_changed(&mut self) -> Vec<SymbolView> {
        Vec::new()
    }

    /// Views of all symbols, in symbol order: what a republish writes.
    #[must_use]
    pub fn views(&self) -> Vec<SymbolView> {
        Vec::new()
    }
}
