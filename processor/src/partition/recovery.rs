//! From what the store and the log say about a partition to a [`Partition`] and the offset to read from.

use std::sync::Arc;

use assay_engine::{PartitionState, Settings};

use super::protocol::{Partition, Replay};
use super::{Stop, state_digest_text};
use crate::stores::{Progress, Snapshot};

/// The first offset of the log and the offset after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset that can be read.
    pub start: i64,
    /// Offset that the next produced record gets.
    pub end: i64,
}

/// A partition ready to read, and where to start reading.
#[derive(Debug)]
pub struct Recovered {
    /// The partition, silent until its committed progress is reached again.
    pub partition: Partition,
    /// First offset to fetch.
    pub resume_offset: i64,
    /// Snapshots that could not be used, and why: worth a warning, not a stop.
    pub unusable_snapshots: Vec<String>,
}

/// Decides where a taken-over partition goes on.
///
/// The newest snapshot that restores to its own digest wins, else the revision's start. The record before
/// `next_offset` is always read again, so the resume offset is at most `next_offset − 1` once anything is committed.
///
/// # Errors
/// The log does not hold what recovery needs.
pub fn recover(
    progress: Progress,
    snapshots: &[Snapshot],
    log: LogBounds,
    settings: &Arc<Settings>,
) -> Result<Recovered, Stop> {
    let next = progress.next_offset;
    if log.end < next {
        return Err(Stop::LogTruncated {
            next_offset: next,
            log_end: log.end,
        });
    }
    let (mut state, state_offset, unusable_snapshots) = restore(&progress, snapshots, settings);
    let committed_any = next > progress.start_offset;
    // A quiet partition may lose its last record to retention while its snapshot is exact: nothing is missing then.
    let expired_but_complete = state_offset == next && log.start == next;
    let resume_offset = if committed_any && !expired_but_complete {
        state_offset.min(next - 1)
    } else {
        state_offset
    };
    if resume_offset < log.start {
        return Err(Stop::RetentionPassed {
            wanted: resume_offset,
            log_start: log.start,
        });
    }
    let replay = (resume_offset < next).then(|| Replay {
        apply_from: state_offset,
        until: next,
        state_digest: progress.state_digest.clone(),
        record_digest: progress.record_digest.clone(),
    });
    if committed_any && state_offset == next {
        compare_state(&mut state, &progress.state_digest, next)?;
    }
    Ok(Recovered {
        partition: Partition::new(progress, state, replay),
        resume_offset,
        unusable_snapshots,
    })
}

/// The self-test of every recovery: the state at `next_offset` is the one the rows were made with.
pub(super) fn compare_state(state: &mut PartitionState, wanted: &str, next_offset: i64) -> Result<(), Stop> {
    let found = state_digest_text(state.digest());
    if found == wanted {
        return Ok(());
    }
    Err(Stop::StateDiffers {
        next_offset,
        wanted: wanted.to_owned(),
        found,
    })
}

fn restore(
    progress: &Progress,
    snapshots: &[Snapshot],
    settings: &Arc<Settings>,
) -> (PartitionState, i64, Vec<String>) {
    let mut unusable = Vec::new();
    for snapshot in snapshots {
        match restore_one(progress, snapshot, settings) {
            Ok(state) => return (state, snapshot.at_offset, unusable),
            Err(reason) => unusable.push(format!("snapshot at {}: {reason}", snapshot.at_offset)),
        }
    }
    (
        PartitionState::new(Arc::clone(settings)),
        progress.start_offset,
        unusable,
    )
}

fn restore_one(progress: &Progress, snapshot: &Snapshot, settings: &Arc<Settings>) -> Result<PartitionState, String> {
    if snapshot.at_offset > progress.next_offset || snapshot.at_offset < progress.start_offset {
        return Err(format!(
            "outside the committed range {}..={}",
            progress.start_offset, progress.next_offset
        ));
    }
    let state = PartitionState::restore(Arc::clone(settings), &snapshot.blob).map_err(|error| error.to_string())?;
    let found = state_digest_text(state.digest_from_scratch());
    if found == snapshot.state_digest {
        Ok(state)
    } else {
        Err(format!(
            "restores to state {found}, was taken of {}",
            snapshot.state_digest
        ))
    }
}
