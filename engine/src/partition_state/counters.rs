//! How many records of a partition became what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Disposition, Record, Rejection};

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
    pub rejected: BTreeMap<&'static str, u64>,
}

/// The counters as hashes and snapshots hold them.
#[derive(Serialize, Deserialize)]
pub(super) struct CountersDocument {
    counts: [u64; 6],
    /// In the order of [`Rejection::ALL`].
    rejected: Vec<u64>,
}

impl Counters {
    pub(super) fn count(&mut self, record: &Record<'_>, disposition: Disposition) {
        match (disposition, record) {
            (Disposition::Accepted, Record::Trade(_)) => self.accepted += 1,
            (Disposition::Accepted, Record::Tick { .. }) => self.ticks += 1,
            (Disposition::Accepted, Record::Gap { .. }) => self.gaps += 1,
            (Disposition::Late, _) => self.late += 1,
            (Disposition::Duplicate, _) => self.duplicate += 1,
            (Disposition::Faulted, _) => self.faulted += 1,
            (Disposition::Rejected(reason), _) => self.count_rejected(reason),
        }
    }

    pub(super) fn count_rejected(&mut self, reason: Rejection) {
        *self.rejected.entry(reason.as_str()).or_default() += 1;
    }

    pub(super) fn as_document(&self) -> CountersDocument {
        let rejected = |reason: &Rejection| self.rejected.get(reason.as_str()).copied().unwrap_or(0);
        CountersDocument {
            counts: [
                self.accepted,
                self.late,
                self.duplicate,
                self.ticks,
                self.gaps,
                self.faulted,
            ],
            rejected: Rejection::ALL.iter().map(rejected).collect(),
        }
    }
}

impl From<CountersDocument> for Counters {
    fn from(document: CountersDocument) -> Self {
        let [accepted, late, duplicate, ticks, gaps, faulted] = document.counts;
        let reasons = Rejection::ALL
            .iter()
            .map(|reason| reason.as_str())
            .zip(document.rejected);
        let rejected = reasons.filter(|(_, count)| *count > 0).collect();
        Self {
            accepted,
            late,
            duplicate,
            ticks,
            gaps,
            faulted,
            rejected,
        }
    }
}
