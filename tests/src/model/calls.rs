//! What travels between processes and stores.

use std::collections::BTreeMap;

use assay_processor::latest::Publish;
use assay_processor::stores::{Advance, Fence, Progress, Snapshot, StoreError};

/// A request.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// The bump.
    TakeOver {
        /// Partition.
        partition: i32,
        /// Random number of the owner.
        nonce: i64,
    },
    /// Reads snapshots.
    Snapshots {
        /// Whose.
        fence: Fence,
        /// Up to here.
        next: i64,
    },
    /// The commit.
    Commit(Vec<Advance>),
    /// Reads progress.
    Progress,
    /// Writes a snapshot.
    SaveSnapshot {
        /// Whose.
        fence: Fence,
        /// What.
        snapshot: Box<Snapshot>,
    },
    /// The publish script.
    Publish(Vec<Publish>),
    /// Reads the markers of the own revision.
    Markers,
    /// Reads the live revision of the store, the one shown, and where that one stands.
    Live,
    /// Points readers at the own revision.
    SetLive,
}

impl Call {
    /// Whether the projection answers it; otherwise the result store does.
    #[must_use]
    pub(super) fn is_for_projection(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Markers | Self::SetLive)
    }
}

/// A reply.
#[derive(Debug)]
pub(super) enum Answer {
    /// To [`Call::TakeOver`].
    TakenOver(Box<Progress>),
    /// To [`Call::Snapshots`].
    Snapshots(Vec<Snapshot>),
    /// To [`Call::Commit`].
    Committed(Result<Vec<i32>, StoreError>),
    /// To [`Call::Progress`].
    Progress(Vec<Progress>),
    /// To [`Call::Publish`].
    Published(Vec<i32>),
    /// To [`Call::Markers`].
    Markers(BTreeMap<i32, i64>),
    /// To [`Call::Live`].
    Live {
        /// The live revision of the store.
        live: usize,
        /// The one shown to readers.
        shown: Option<usize>,
        /// Its markers.
        shown_markers: BTreeMap<i32, i64>,
    },
    /// Done, nothing to tell.
    Done,
    /// None came in time: whether the request took effect is unknown.
    None,
}
