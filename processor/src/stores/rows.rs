//! How values stand in the tables: the words, the canonical JSON, and which advances may share a statement.
//! Both databases take them from here, which is why their dumps are equal.

use assay_engine::{Counters, Fault, Forecast, Outcome, OutcomeKind};
use serde_json::json;

use super::{Advance, DeadLetter, Progress, StoreError};

/// A row of one advance with the partition and phase it inherits.
pub(super) struct Of<'a, T> {
    pub(super) partition: i32,
    pub(super) phase: &'static str,
    pub(super) row: &'a T,
}

/// Rows of all advances, in order.
fn collect<'a, T>(
    advances: &'a [Advance],
    rows: impl Fn(&'a Advance) -> &'a [T],
    offset: impl Fn(&T) -> i64,
) -> Vec<Of<'a, T>> {
    let of = |advance: &'a Advance, row: &'a T| Of {
        partition: advance.fence.partition,
        phase: phase(offset(row), advance.live_from_offset),
        row,
    };
    advances
        .iter()
        .flat_map(|advance| rows(advance).iter().map(move |row| of(advance, row)))
        .collect()
}

pub(super) fn forecasts(advances: &[Advance]) -> Vec<Of<'_, Forecast>> {
    collect(advances, |advance| &advance.forecasts, |forecast| forecast.offset)
}

/// An outcome belongs to the phase of its forecast.
pub(super) fn outcomes(advances: &[Advance]) -> Vec<Of<'_, Outcome>> {
    collect(advances, |advance| &advance.outcomes, |outcome| outcome.forecast.offset)
}

pub(super) fn dead_letters(advances: &[Advance]) -> Vec<Of<'_, DeadLetter>> {
    collect(advances, |advance| &advance.dead_letters, |letter| letter.offset)
}

pub(super) fn faults(advances: &[Advance]) -> Vec<Of<'_, Fault>> {
    collect(advances, |advance| &advance.faults, |fault| fault.offset)
}

/// A forecast is LIVE where nobody could know its outcome when the revision was made.
fn phase(offset: i64, live_from_offset: i64) -> &'static str {
    if offset >= live_from_offset { "LIVE" } else { "REPLAYED" }
}

pub(super) fn direction(forecast: &Forecast) -> &'static str {
    if forecast.direction > 0 { "UP" } else { "DOWN" }
}

pub(super) fn outcome(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Hit => "HIT",
        OutcomeKind::Miss => "MISS",
        OutcomeKind::Void => "VOID",
    }
}

/// SQLite keeps a whole number without the sign of zero; adding zero makes both databases agree.
pub(super) fn real(value: f64) -> f64 {
    value + 0.0
}

/// Counters as JSON with sorted keys.
pub(super) fn counters(counters: &Counters) -> String {
    let Counters {
        accepted,
        late,
        duplicate,
        ticks,
        gaps,
        faulted,
        rejected,
    } = counters;
    json!({
        "accepted": accepted, "late": late, "duplicate": duplicate, "ticks": ticks, "gaps": gaps,
        "faulted": faulted, "rejected": rejected,
    })
    .to_string()
}

/// One statement serves one revision, each partition at most once, each moving forward.
pub(super) fn check_advances(advances: &[Advance]) -> Result<(), StoreError> {
    let mut seen = std::collections::BTreeSet::new();
    for advance in advances {
        let Advance {
            fence,
            from_offset,
            to_offset,
            ..
        } = advance;
        let first = &advances[0].fence;
        if (&fence.pipeline, &fence.revision) != (&first.pipeline, &first.revision) {
            return Err(StoreError::Refused(
                "advances of two revisions in one commit; commit each alone".into(),
            ));
        }
        if !seen.insert(fence.partition) {
            return Err(StoreError::Refused(format!(
                "partition {} twice in one commit; merge them",
                fence.partition
            )));
        }
        if to_offset <= from_offset {
            let partition = fence.partition;
            return Err(StoreError::Refused(format!(
                "partition {partition} from {from_offset} to {to_offset}: no step"
            )));
        }
    }
    Ok(())
}

/// A row of `progress` as both drivers read it.
#[derive(sqlx::FromRow)]
pub(super) struct ProgressRow {
    partition: i32,
    epoch: i64,
    owner_nonce: i64,
    start_offset: i64,
    live_from_offset: i64,
    next_offset: i64,
    watermark_us: Option<i64>,
    state_digest: String,
    record_digest: String,
    counters: String,
}

impl ProgressRow {
    pub(super) fn into_progress(self, pipeline: &str, revision: &str) -> Progress {
        Progress {
            fence: super::Fence {
                pipeline: pipeline.into(),
                revision: revision.into(),
                partition: self.partition,
                epoch: self.epoch,
                owner_nonce: self.owner_nonce,
            },
            start_offset: self.start_offset,
            live_from_offset: self.live_from_offset,
            next_offset: self.next_offset,
            watermark_us: self.watermark_us,
            state_digest: self.state_digest,
            record_digest: self.record_digest,
            counters: self.counters,
        }
    }
}

/// A pipeline's and a revision's row, joined.
#[derive(sqlx::FromRow)]
pub(super) struct RegistrationRow {
    cluster: String,
    namespace: String,
    name: String,
    settings: String,
    engine_semantics: i32,
    topic_identity: String,
    partitions: i32,
}

impl RegistrationRow {
    pub(super) fn into_registration(
        self,
        progress: &[Progress],
        pipeline: &str,
        revision: &str,
    ) -> super::Registration {
        let offsets = progress.iter().map(|row| super::StartOffsets {
            partition: row.fence.partition,
            start_offset: row.start_offset,
            live_from_offset: row.live_from_offset,
        });
        super::Registration {
            pipeline: pipeline.into(),
            cluster: self.cluster,
            namespace: self.namespace,
            name: self.name,
            revision: revision.into(),
            settings: self.settings,
            engine_semantics: self.engine_semantics,
            topic_identity: self.topic_identity,
            partitions: self.partitions,
            offsets: offsets.collect(),
        }
    }
}

/// A row of `snapshots`.
#[derive(sqlx::FromRow)]
pub(super) struct SnapshotRow {
    at_offset: i64,
    state_digest: String,
    blob: Vec<u8>,
}

impl From<SnapshotRow> for super::Snapshot {
    fn from(row: SnapshotRow) -> Self {
        Self {
            at_offset: row.at_offset,
            state_digest: row.state_digest,
            blob: row.blob,
        }
    }
}
