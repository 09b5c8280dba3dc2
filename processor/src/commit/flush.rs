//! The one flush cycle of a process: collects every dirty partition, commits them in one statement, tells the verdicts.
//!
//! Workers go on with the next batch meanwhile. While the store is away the same batch is tried again, without end:
//! only a verdict lets a partition go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{info, warn};

use super::group_offsets::GroupOffsets;
use super::snapshots::SnapshotWriter;
use crate::crash_points::crash_point;
use crate::ingest::poll::PollCommand;
use crate::partition::workers::Workers;
use crate::partition::{CommitCycle, CycleStep, Resting, Verdict};
use crate::resilience::health::{Dependency, HealthBoard};
use crate::stores::{Advance, Fence, Progress, ResultStore, StoreError};
use crate::telemetry::Metrics;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often partitions at rest are compared with progress.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Asks for a flush now; answered when it is done.
pub type FlushRequest = oneshot::Sender<()>;

/// Everything a flush needs.
pub struct Flusher {
    /// Pipeline uid.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// The workers.
    pub workers: Arc<Workers>,
    /// The result store.
    pub store: Arc<dyn ResultStore>,
    /// Where snapshots go.
    pub snapshots: SnapshotWriter,
    /// Commands to the poll thread.
    pub poll: std::sync::mpsc::Sender<PollCommand>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
}

/// What an advance carries, for counting once it is in the tables.
struct Load {
    fence: Fence,
    to_offset: i64,
    forecasts: usize,
    outcomes: usize,
    faults: usize,
    dead_letters: BTreeMap<&'static str, u64>,
}

impl Flusher {
    /// Flushes at every interval, when rows pile up, and on request. Ends with the requests' channel.
    pub async fn run(self, interval: Duration, rows_full: Arc<Notify>, mut requests: mpsc::Receiver<FlushRequest>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut offsets = GroupOffsets::default();
        loop {
            let (mut request, mut is_check) = (None, false);
            tokio::select! {
                _ = ticks.tick() => {}
                () = rows_full.notified() => {}
                _ = checks.tick() => is_check = true,
                asked = requests.recv() => match asked {
                    Some(asked) => request = Some(asked),
                    None => return,
                },
            }
            self.flush(&mut offsets, is_check).await;
            if let Some(request) = request {
                // A requester that ran out of time needs no answer.
                let _ = request.send(());
            }
        }
    }

    /// `checks`: also looks after partitions at rest, for which no commit would find out that the store lost one.
    async fn flush(&self, offsets: &mut GroupOffsets, checks: bool) {
        // From here to the verdicts the workers are held, whoever of them has something to commit.
        let collected = self.workers.collect(self.snapshots.is_idle()).await;
        let resting = if checks {
            self.workers.resting().await
        } else {
            Vec::new()
        };
        let loads: Vec<Load> = collected.advances.iter().map(load_of).collect();
        let fences = fences(&loads, &resting);
        let started = Instant::now();
        let verdicts = self
            .commit(CommitCycle::new(collected.advances).and_check(resting))
            .await;
        if !loads.is_empty() {
            self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        }
        self.count(&loads, &verdicts, offsets);
        self.workers.settle(&by_fence(fences, &verdicts));
        let advanced = |partition: i32| verdicts.get(&partition) == Some(&Verdict::Advanced);
        collected
            .snapshots
            .into_iter()
            .filter(|image| advanced(image.fence.partition))
            .for_each(|image| {
                self.snapshots.write_later(image);
            });
        if let Some(due) = offsets.due(Instant::now()) {
            // The poll thread is gone only when the process ends.
            let _ = self.poll.send(PollCommand::CommitOffsets(due));
        }
    }

    /// Drives a cycle to its verdicts.
    async fn commit(&self, mut cycle: CommitCycle) -> BTreeMap<i32, Verdict> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match cycle.step() {
                CycleStep::Done => break,
                CycleStep::Commit(advances) => {
                    let answer = self.try_commit(advances).await;
                    let failed = answer.is_err();
                    cycle.committed(answer);
                    failed
                }
                CycleStep::ReadProgress => match self.try_progress().await {
                    Ok(rows) => {
                        cycle.progress_read(&rows);
                        false
                    }
                    Err(_) => true,
                },
            };
            if failed {
                self.metrics.retries.with_label_values(&["commit"]).inc();
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        self.metrics.ambiguous.inc_by(cycle.ambiguous());
        cycle.into_verdicts()
    }

    async fn try_commit(&self, advances: &[Advance]) -> Result<Vec<i32>, StoreError> {
        crash_point!("commit.before");
        let answer = self.store.commit(advances).await;
        crash_point!("commit.after");
        self.note("commit", answer.as_ref().err());
        answer
    }

    async fn try_progress(&self) -> Result<Vec<Progress>, StoreError> {
        crash_point!("progress.before");
        let answer = self.store.progress(&self.pipeline, &self.revision).await;
        crash_point!("progress.after");
        self.note("progress", answer.as_ref().err());
        answer
    }

    fn note(&self, call: &'static str, error: Option<&StoreError>) {
        self.health.note(Dependency::Results, call, error);
        if let Some(error) = error {
            self.metrics.errors.with_label_values(&[call]).inc();
            warn!(call, %error, "result store");
        }
    }

    fn count(&self, loads: &[Load], verdicts: &BTreeMap<i32, Verdict>, offsets: &mut GroupOffsets) {
        let mut moved = 0;
        for load in loads {
            let partition = load.fence.partition;
            if verdicts.get(&partition) == Some(&Verdict::Advanced) {
                moved += 1;
                offsets.advanced(partition, load.to_offset);
                self.count_rows(load);
            }
        }
        self.metrics.commits.inc_by(u64::from(moved > 0));
        for verdict in verdicts.values() {
            self.count_setback(verdict);
        }
    }

    fn count_setback(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Fenced => self.metrics.fenced.inc(),
            Verdict::Restart => self.metrics.restarts.inc(),
            Verdict::Advanced | Verdict::Stopped(_) => {}
        }
    }

    fn count_rows(&self, load: &Load) {
        let tables = [
            ("forecasts", load.forecasts),
            ("strategy_results", load.outcomes),
            ("faults", load.faults),
        ];
        for (table, rows) in tables.into_iter().filter(|(_, rows)| *rows > 0) {
            self.metrics.rows.with_label_values(&[table]).inc_by(rows as u64);
        }
        for (reason, letters) in &load.dead_letters {
            self.metrics.rows.with_label_values(&["dead_letters"]).inc_by(*letters);
            self.metrics.dead_letters.with_label_values(&[reason]).inc_by(*letters);
        }
    }
}

/// Logs every forecast and outcome of an advance with the forecast's id, and remembers the counts.
fn load_of(advance: &Advance) -> Load {
    let partition = advance.fence.partition;
    for forecast in &advance.forecasts {
        info!(
            forecast = forecast.id,
            partition,
            offset = forecast.offset,
            symbol = forecast.symbol,
            strategy = forecast.strategy,
            probability = forecast.probability,
            confidence = forecast.confidence,
            emitted_at_us = forecast.emitted_at_us,
            "forecast"
        );
    }
    for outcome in &advance.outcomes {
        let forecast = &outcome.forecast;
        info!(
            forecast = forecast.id, partition, offset = outcome.offset, symbol = forecast.symbol,
            strategy = forecast.strategy, outcome = ?outcome.kind, evaluated_at_us = outcome.evaluated_at_us, "outcome"
        );
    }
    let mut dead_letters = BTreeMap::new();
    for letter in &advance.dead_letters {
        *dead_letters.entry(letter.reason).or_insert(0) += 1;
    }
    Load {
        fence: advance.fence.clone(),
        to_offset: advance.to_offset,
        forecasts: advance.forecasts.len(),
        outcomes: advance.outcomes.len(),
        faults: advance.faults.len(),
        dead_letters,
    }
}

/// Whom the verdicts are about.
fn fences(loads: &[Load], resting: &[Resting]) -> Vec<Fence> {
    let collected = loads.iter().map(|load| &load.fence);
    collected.chain(resting.iter().map(|one| &one.fence)).cloned().collect()
}

fn by_fence(fences: Vec<Fence>, verdicts: &BTreeMap<i32, Verdict>) -> Vec<(Fence, Verdict)> {
    let judged = fences.into_iter().filter_map(|fence| {
        let verdict = verdicts.get(&fence.partition)?.clone();
        Some((fence, verdict))
    });
    judged.collect()
}

/// Between half of a pause and the whole.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
