//! The life of a partition between a take-over and the next: silent replay, live steps, advances.
//!
//! Pure: the same calls in the same order give the same advances. A [`Stop`] is final for the value that gave it.

use std::fmt;

use assay_engine::{Disposition, Effects, PartitionState, Position, Record, Rejection, SymbolView};

use super::commit_cycle::{Resting, Verdict};
use super::recovery::compare_state;
use super::{Stop, record_digest, state_digest_text};
use crate::ingest::decode::{DecodeScratch, decode};
use crate::latest::Publish;
use crate::stores::{Advance, DeadLetter, Fence, Progress, Snapshot};

/// Bytes of a dead letter's key that are kept.
const KEPT_KEY_BYTES: usize = 1024;
/// Bytes of a dead letter's value that are kept.
const KEPT_VALUE_BYTES: usize = 64 * 1024;

/// Headers of a record, read only where the record becomes a dead letter.
pub trait RecordHeaders {
    /// Canonical JSON of (name, base64 value) pairs; `None` where there are none.
    fn json(&self) -> Option<String>;
}

/// A record as it came from the log.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's record time, microseconds.
    pub record_time_us: Option<i64>,
    /// Key; empty where there is none.
    pub key: &'a [u8],
    /// Value; empty where there is none.
    pub value: &'a [u8],
    /// Its headers, where the log has such.
    pub headers: Option<&'a dyn RecordHeaders>,
}

/// What became of the records of one [`Partition::ingest`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records that went through the live step.
    pub live: u64,
    /// Records that were read again and emitted nothing.
    pub replayed: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Offsets that the log skipped: control or compacted records.
    pub skipped: u64,
}

/// What a replay must arrive at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replay {
    /// Records below are only looked at.
    pub(super) apply_from: i64,
    /// Live from here on.
    pub(super) until: i64,
    pub(super) state_digest: String,
    pub(super) record_digest: String,
}

/// Rows waiting for the next advance.
#[derive(Debug, Default)]
struct Pending {
    effects: Effects,
    dead_letters: Vec<DeadLetter>,
}

/// One partition of one revision under one fence.
pub struct Partition {
    fence: Fence,
    live_from_offset: i64,
    state: PartitionState,
    scratch: DecodeScratch,
    replay: Option<Replay>,
    /// Everything below went through the state.
    position: i64,
    /// Everything below is in the tables.
    committed: i64,
    /// `to_offset` of the advance that is under way.
    in_flight: Option<i64>,
    record_digest: String,
    pending: Pending,
    bytes_since_snapshot: u64,
}

impl fmt::Debug for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Partition")
            .field("fence", &self.fence)
            .field("position", &self.position)
            .field("committed", &self.committed)
            .field("in_flight", &self.in_flight)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}

impl Partition {
    pub(super) fn new(progress: Progress, state: PartitionState, replay: Option<Replay>) -> Self {
        let position = replay
            .as_ref()
            .map_or(progress.next_offset, |replay| replay.apply_from.min(replay.until - 1));
        Self {
            fence: progress.fence,
            live_from_offset: progress.live_from_offset,
            state,
            scratch: DecodeScratch::default(),
            replay,
            position,
            committed: progress.next_offset,
            in_flight: None,
            record_digest: progress.record_digest,
            pending: Pending::default(),
            bytes_since_snapshot: 0,
        }
    }

    /// Applies records in log order.
    ///
    /// # Errors
    /// The partition must stop; nothing of it may be committed any more.
    pub fn ingest<'a>(&mut self, records: impl IntoIterator<Item = RawRecord<'a>>) -> Result<Applied, Stop> {
        let mut applied = Applied::default();
        let mut last = None;
        for record in records {
            self.check_order(&record, &mut applied)?;
            applied.bytes += (record.key.len() + record.value.len()) as u64;
            if self.replay.is_some() {
                applied.replayed += 1;
                self.replay_one(&record)?;
            } else {
                applied.live += 1;
                self.step(&record, Phase::Live);
                last = Some(record);
            }
            self.position = record.offset + 1;
        }
        if let Some(record) = last {
            self.record_digest = record_digest(record.key, record.value);
        }
        self.bytes_since_snapshot += applied.bytes;
        Ok(applied)
    }

    /// The next advance, or nothing where there is nothing new, an advance is under way, or replay goes on.
    /// The caller keeps it until [`Partition::settle`], because a lost reply asks for the same batch again.
    pub fn make_advance(&mut self) -> Option<Advance> {
        if self.is_replaying() || self.in_flight.is_some() || self.position == self.committed {
            return None;
        }
        let pending = std::mem::take(&mut self.pending);
        self.in_flight = Some(self.position);
        Some(Advance {
            fence: self.fence.clone(),
            from_offset: self.committed,
            to_offset: self.position,
            watermark_us: self.state.watermark_us(),
            state_digest: state_digest_text(self.state.digest()),
            record_digest: self.record_digest.clone(),
            counters: self.state.counters().clone(),
            live_from_offset: self.live_from_offset,
            forecasts: pending.effects.forecasts,
            outcomes: pending.effects.outcomes,
            faults: pending.effects.faults,
            dead_letters: pending.dead_letters,
        })
    }

    /// Takes the outcome of the advance under way. After any verdict but `Advanced` this value must be dropped:
    /// `Fenced` and `Restart` begin again with a take-over, `Stopped` waits for a person.
    pub fn settle(&mut self, verdict: &Verdict) {
        if let (Verdict::Advanced, Some(to)) = (verdict, self.in_flight.take()) {
            debug_assert!(to > self.committed, "I2: an advance moves forward");
            self.committed = to;
        }
    }

    /// Bytes of log since the last snapshot, where one is due: the log has moved far enough, and the advance that
    /// [`Partition::make_advance`] just gave ends at the present state.
    #[must_use]
    pub fn snapshot_due(&self, every_bytes: u64) -> Option<u64> {
        let ends_here = self.in_flight == Some(self.position);
        (ends_here && self.bytes_since_snapshot >= every_bytes).then_some(self.bytes_since_snapshot)
    }

    /// The state right after the advance that was just given. To be written once that is in the tables, and dropped
    /// otherwise.
    pub fn take_snapshot(&mut self) -> SnapshotImage {
        self.bytes_since_snapshot = 0;
        self.image()
    }

    /// A snapshot image of the committed state, if nothing is newer than it: what a clean shutdown leaves behind.
    #[must_use]
    pub fn snapshot_at_rest(&self) -> Option<SnapshotImage> {
        let at_rest = !self.is_replaying() && self.in_flight.is_none() && self.position == self.committed;
        (at_rest && self.bytes_since_snapshot > 0).then(|| self.image())
    }

    fn image(&self) -> SnapshotImage {
        SnapshotImage {
            fence: self.fence.clone(),
            at_offset: self.position,
            state: self.state.clone(),
        }
    }

    /// Views of the symbols changed since the last call, with the offset they are a function of.
    /// Empty during replay.
    pub fn take_changed(&mut self) -> Vec<SymbolView> {
        if self.is_replaying() {
            Vec::new()
        } else {
            self.state.take_changed()
        }
    }

    /// Everything there is to publish, as one list; `None` during replay.
    pub fn everything(&mut self) -> Option<Publish> {
        if self.is_replaying() {
            return None;
        }
        // What `views` gives covers the changes as well.
        drop(self.state.take_changed());
        Some(Publish {
            partition: self.fence.partition,
            marker: self.position,
            since: None,
            views: self.state.views(),
        })
    }

    /// Whether records are still read again silently.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    /// Whose right it is to write.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Everything below went through the state.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Everything below is in the tables.
    #[must_use]
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// Whether an advance waits for its verdict.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Where progress must stand; `None` while an advance waits for its verdict.
    #[must_use]
    pub fn resting(&self) -> Option<Resting> {
        (!self.is_in_flight()).then(|| Resting {
            fence: self.fence.clone(),
            committed: self.committed,
        })
    }

    /// Rows that wait for the next advance.
    #[must_use]
    pub fn pending_rows(&self) -> usize {
        let effects = &self.pending.effects;
        effects.forecasts.len() + effects.outcomes.len() + effects.faults.len() + self.pending.dead_letters.len()
    }

    /// The state, for counters, the watermark and tests.
    #[must_use]
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    fn check_order(&self, record: &RawRecord<'_>, applied: &mut Applied) -> Result<(), Stop> {
        if record.offset < self.position {
            return Err(Stop::OffsetWentBack {
                expected: self.position,
                found: record.offset,
            });
        }
        applied.skipped += record.offset.abs_diff(self.position);
        Ok(())
    }

    fn replay_one(&mut self, record: &RawRecord<'_>) -> Result<(), Stop> {
        let Some(replay) = self.replay.take() else {
            return Ok(());
        };
        let last = replay.until - 1;
        if record.offset > last {
            return Err(Stop::RecordMissing { offset: last });
        }
        if record.offset >= replay.apply_from {
            self.step(record, Phase::Replay);
        }
        if record.offset < last {
            self.replay = Some(replay);
            return Ok(());
        }
        if record_digest(record.key, record.value) != replay.record_digest {
            return Err(Stop::RecordChanged { offset: last });
        }
        compare_state(&mut self.state, &replay.state_digest, replay.until)
    }

    fn step(&mut self, record: &RawRecord<'_>, phase: Phase) {
        let at = Position {
            offset: record.offset,
            record_time_us: record.record_time_us,
        };
        let rejection = match decode(record.value, &mut self.scratch) {
            Ok(decoded) => apply(&mut self.state, &decoded, at, &mut self.pending.effects),
            Err(reason) => {
                self.state.reject(reason);
                Some(reason)
            }
        };
        match (phase, rejection) {
            (Phase::Live, None) => {}
            (Phase::Live, Some(reason)) => self.pending.dead_letters.push(dead_letter(record, reason)),
            (Phase::Replay, _) => clear(&mut self.pending.effects),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Replay,
    Live,
}

fn apply(state: &mut PartitionState, record: &Record<'_>, at: Position, effects: &mut Effects) -> Option<Rejection> {
    match state.step(record, at, effects) {
        Disposition::Rejected(reason) => Some(reason),
        Disposition::Accepted | Disposition::Late | Disposition::Duplicate | Disposition::Faulted => None,
    }
}

fn clear(effects: &mut Effects) {
    effects.forecasts.clear();
    effects.outcomes.clear();
    effects.faults.clear();
}

fn dead_letter(record: &RawRecord<'_>, reason: Rejection) -> DeadLetter {
    let kept = |bytes: &[u8], limit: usize| bytes[..bytes.len().min(limit)].to_vec();
    DeadLetter {
        offset: record.offset,
        reason: reason.as_str(),
        key: kept(record.key, KEPT_KEY_BYTES),
        value: kept(record.value, KEPT_VALUE_BYTES),
        value_length: i64::try_from(record.value.len()).unwrap_or(i64::MAX),
        headers: record
            .headers
            .and_then(RecordHeaders::json)
            .unwrap_or_else(|| "[]".to_owned()),
        record_time_us: record.record_time_us,
    }
}

/// A state that waits to be serialised, off the hot thread.
#[derive(Debug, Clone)]
pub struct SnapshotImage {
    /// Whose right it is to write it.
    pub fence: Fence,
    /// State after every record below this offset.
    pub at_offset: i64,
    state: PartitionState,
}

impl SnapshotImage {
    /// Serialises and compresses.
    ///
    /// # Errors
    /// The codec failed.
    pub fn encode(&self) -> Result<Snapshot, assay_engine::SnapshotError> {
        let digest = self.state.digest_from_scratch();
        Ok(Snapshot {
            at_offset: self.at_offset,
            state_digest: state_digest_text(digest),
            blob: self.state.snapshot()?,
        })
    }
}
