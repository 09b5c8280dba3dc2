//! The log that a full-speed feed into an empty topic would write, applied without a broker.
//!
//! Partitions, offsets, keys and values are those of the feed, and the partitions are those of the processor: the same
//! recovery, the same steps, the same advances into a result store. Only Kafka's record time is missing, which dead
//! letters show and which can only reject a trade that claims to lie in the future.

mod figures;
mod summary;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_crds::{Problems, RevisionInstance, StrategyPipeline, validate_settings};
use assay_engine::{PartitionState, Settings, Trade};

pub use figures::{Figures, FiguresText};
pub use summary::{Summary, summarize};
pub use tally::Tally;

use crate::feed::route::{Routed, route};
use crate::feed::{FeedRecord, InputError};
use crate::latest::Publish;
use crate::partition::{CommitCycle, CycleStep, LogBounds, Partition, RawRecord, Stop, Verdict, recover};
use crate::report::Recorder;
use crate::settings::engine_settings;
use crate::stores::{Registration, ResultStore, StartOffsets, StoreError};

/// Rows that wait before they are committed. Results do not depend on it.
const ROWS_PER_COMMIT: usize = 10_000;
/// Records after which rows are counted and committed, whether many or few.
const RECORDS_PER_COMMIT: u64 = 100_000;

/// Why a backtest ended early.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The manifest is wrong.
    #[error("the manifest is not valid:\n{0}")]
    Manifest(#[from] Problems),
    /// The trades cannot be read.
    #[error(transparent)]
    Feed(#[from] InputError),
    /// The results cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A partition cannot go on.
    #[error("partition {partition}: {stop}")]
    Stopped {
        /// The partition.
        partition: i32,
        /// Why.
        stop: Stop,
    },
    /// Something else wrote to the result store.
    #[error("partition {0} was taken over by another process; let nothing else write into the output folder")]
    TakenOver(i32),
}

/// A revision of a manifest on a log of its own.
pub struct Backtest<S> {
    store: S,
    settings: Arc<Settings>,
    partitions: Vec<Lane>,
    tally: Tally,
    recorder: Recorder,
    records: u64,
}

/// A partition and the offset its next record gets.
struct Lane {
    partition: Partition,
    next_offset: i64,
}

impl<S: ResultStore> Backtest<S> {
    /// Registers the revision, `instance` of the manifest's settings, and takes its partitions over.
    /// Rows of records from `live_from_offset` on are LIVE, as if the log had ended there when the revision was made; an instance that
    /// states its own offsets keeps them.
    ///
    /// # Errors
    /// Wrong settings, or a store that cannot be written.
    pub async fn start(
        pipeline: &StrategyPipeline,
        instance: RevisionInstance,
        store: S,
        live_from_offset: i64,
    ) -> Result<Self, BacktestError> {
        let validated = validate_settings(&pipeline.spec.settings)?;
        let settings = Arc::new(engine_settings(&instance.revision, validated));
        let registration = registration(instance, live_from_offset);
        store.register(&registration, true).await?;
        let mut partitions = Vec::new();
        for partition in 0..registration.partitions {
            partitions.push(take_over(&store, &registration, partition, &settings).await?);
        }
        Ok(Self {
            store,
            recorder: Recorder::new(Arc::clone(&settings)),
            settings,
            partitions,
            tally: Tally::default(),
            records: 0,
        })
    }

    /// The settings of the revision.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Appends a record to the log and applies it.
    ///
    /// # Errors
    /// A partition that cannot go on, or a store that cannot be written.
    pub async fn apply(&mut self, record: &FeedRecord) -> Result<(), BacktestError> {
        let count = i32::try_from(self.partitions.len()).unwrap_or(i32::MAX);
        let trade = match record {
            FeedRecord::Trade(trade) => Some(trade.as_trade()),
            _ => None,
        };
        for routed in route(record, count) {
            self.append(&routed, trade.as_ref())?;
        }
        self.records += 1;
        if self.records.is_multiple_of(RECORDS_PER_COMMIT) || self.pending_rows() >= ROWS_PER_COMMIT {
            self.commit().await?;
        }
        Ok(())
    }

    /// What a processor at this place of the log would have published.
    pub fn everything(&mut self) -> Vec<Publish> {
        let lanes = self.partitions.iter_mut();
        lanes.filter_map(|lane| lane.partition.everything()).collect()
    }

    /// Commits what is left.
    ///
    /// # Errors
    /// As [`Backtest::apply`].
    pub async fn finish(mut self) -> Result<Finished<S>, BacktestError> {
        self.commit().await?;
        let states = self.partitions.iter().map(|lane| lane.partition.state());
        let counters = total_counters(states);
        let watermarks = self
            .partitions
            .iter()
            .filter_map(|lane| lane.partition.state().watermark_us());
        Ok(Finished {
            watermark_us: watermarks.max(),
            counters,
            settings: self.settings,
            tally: self.tally,
            recorder: self.recorder,
            store: self.store,
        })
    }

    /// `trade` is the record's, if it holds one.
    fn append(&mut self, routed: &Routed, trade: Option<&Trade<'_>>) -> Result<(), BacktestError> {
        let Some(lane) = usize::try_from(routed.partition)
            .ok()
            .and_then(|at| self.partitions.get_mut(at))
        else {
            return Ok(());
        };
        let record = RawRecord {
            offset: lane.next_offset,
            record_time_us: None,
            key: routed.key.as_bytes(),
            value: &routed.value,
            headers: None,
        };
        let stopped = |stop| BacktestError::Stopped {
            partition: routed.partition,
            stop,
        };
        let accepted = lane.partition.state().counters().accepted;
        lane.partition.ingest([record]).map_err(stopped)?;
        lane.next_offset += 1;
        if let Some(trade) = trade.filter(|_| lane.partition.state().counters().accepted > accepted) {
            self.recorder.trade(trade);
        }
        self.recorder.views(&lane.partition.take_changed());
        Ok(())
    }

    fn pending_rows(&self) -> usize {
        self.partitions.iter().map(|lane| lane.partition.pending_rows()).sum()
    }

    async fn commit(&mut self) -> Result<(), BacktestError> {
        let advances: Vec<_> = self
            .partitions
            .iter_mut()
            .filter_map(|lane| lane.partition.make_advance())
            .collect();
        for advance in &advances {
            self.tally.add(advance);
            self.recorder.rows(&advance.forecasts, &advance.outcomes);
        }
        let mut cycle = CommitCycle::new(advances);
        while let CycleStep::Commit(due) = cycle.step() {
            let answer = self.store.commit(due).await;
            if let Err(error @ StoreError::Unavailable(_)) = answer {
                return Err(error.into());
            }
            cycle.committed(answer);
        }
        self.settle(&cycle.into_verdicts())
    }

    fn settle(&mut self, verdicts: &BTreeMap<i32, Verdict>) -> Result<(), BacktestError> {
        for lane in &mut self.partitions {
            let partition = lane.partition.fence().partition;
            match verdicts.get(&partition) {
                Some(Verdict::Advanced) => lane.partition.settle(&Verdict::Advanced),
                Some(Verdict::Stopped(stop)) => {
                    return Err(BacktestError::Stopped {
                        partition,
                        stop: stop.clone(),
                    });
                }
                Some(Verdict::Fenced | Verdict::Restart) => return Err(BacktestError::TakenOver(partition)),
                // Without a verdict an advance that was made did not move: only another writer does that.
                None if lane.partition.is_in_flight() => return Err(BacktestError::TakenOver(partition)),
                None => {}
            }
        }
        Ok(())
    }
}

/// What a finished backtest knows, and where its rows are.
pub struct Finished<S> {
    /// Highest watermark of all partitions, microseconds.
    pub watermark_us: Option<i64>,
    /// Records by what became of them, over all partitions; dead letters by their reason.
    pub counters: BTreeMap<&'static str, u64>,
    /// Forecasts and outcomes.
    pub tally: Tally,
    /// What the page shows of the run.
    pub recorder: Recorder,
    /// The rows.
    pub store: S,
    /// The settings of the revision.
    pub settings: Arc<Settings>,
}

fn registration(instance: RevisionInstance, live_from_offset: i64) -> Registration {
    let offsets = |partition| {
        let stated = instance.offsets.iter().find(|offsets| offsets.partition == partition);
        StartOffsets {
            partition,
            start_offset: 0,
            live_from_offset: stated.map_or(live_from_offset, |offsets| offsets.live_from_offset),
        }
    };
    let offsets = (0..instance.partitions).map(offsets).collect();
    Registration {
        pipeline: instance.pipeline,
        cluster: instance.cluster,
        namespace: instance.namespace,
        name: instance.name,
        revision: instance.revision,
        settings: instance.settings,
        engine_semantics: i32::try_from(instance.engine_semantics).unwrap_or(i32::MAX),
        topic_identity: instance.topic_identity,
        partitions: instance.partitions,
        offsets,
    }
}

async fn take_over<S: ResultStore>(
    store: &S,
    registration: &Registration,
    partition: i32,
    settings: &Arc<Settings>,
) -> Result<Lane, BacktestError> {
    let progress = store
        .take_over(&registration.pipeline, &registration.revision, partition, 0)
        .await?;
    let log = LogBounds {
        start: 0,
        end: progress.next_offset,
    };
    let recovered = recover(progress, &[], log, settings).map_err(|stop| BacktestError::Stopped { partition, stop })?;
    Ok(Lane {
        partition: recovered.partition,
        next_offset: recovered.resume_offset,
    })
}

fn total_counters<'a>(states: impl Iterator<Item = &'a PartitionState>) -> BTreeMap<&'static str, u64> {
    let mut total = BTreeMap::new();
    for state in states {
        let counters = state.counters();
        let plain = [
            ("accepted", counters.accepted),
            ("late", counters.late),
            ("duplicate", counters.duplicate),
            ("ticks", counters.ticks),
            ("gaps", counters.gaps),
            ("faulted", counters.faulted),
        ];
        let rejected = counters.rejected.iter().map(|(reason, count)| (*reason, *count));
        for (name, count) in plain.into_iter().chain(rejected) {
            *total.entry(name).or_default() += count;
        }
    }
    total
}
