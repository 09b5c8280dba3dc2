//! Who owns what here: turns assignments into take-overs, revocations into drains, and fences into fresh starts.
//!
//! Runs beside the poll thread, so that no callback and no poll ever waits for a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::log_client::LogClient;
use super::poll::{Change, GroupEvent, PollCommand, Start};
use super::record_queue::FetchError;
use super::takeover::{TakeOver, TakeOverError};
use crate::commit::flush::{FlushRequest, jittered};
use crate::commit::publish::PublishRequest;
use crate::commit::snapshots::SnapshotWriter;
use crate::partition::actor::{ActorEvent, Attached, PartitionReport, Tenure};
use crate::partition::workers::Workers;
use crate::partition::{LogBounds, Recovered, Stop};
use crate::resilience::health::{Dependency, HealthBoard};
use crate::telemetry::Metrics;

/// Fences without a rebalance in between, after which the group is left and joined again.
const FENCES_BEFORE_REJOIN: u32 = 3;
/// A fenced partition is taken over again after half to all of this, times the number of fences.
const FENCE_PAUSE: Duration = Duration::from_millis(300);

/// The call that makes this process a member of the group.
const JOIN: &str = "join";

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// A store was away for longer than a take-over may wait.
    #[error("partition {partition} could not be taken over: {cause}")]
    TakeOver {
        /// Partition.
        partition: i32,
        /// Cause.
        cause: String,
    },
    /// The Kafka client cannot go on.
    #[error("{0}; restart the processor, and report it if it comes again")]
    Kafka(String),
    /// A worker ended.
    #[error("a worker thread panicked; this is a defect: report it with the log above")]
    WorkerDied,
    /// The poll thread ended.
    #[error("the poll thread ended; this is a defect: report it with the log above")]
    PollThreadEnded,
}

/// What ownership works with.
pub struct Parts {
    /// Does the take-overs.
    pub take_over: Arc<TakeOver>,
    /// Asks Kafka for bounds.
    pub log: Arc<LogClient>,
    /// The workers.
    pub workers: Arc<Workers>,
    /// Commands to the poll thread.
    pub poll: std::sync::mpsc::Sender<PollCommand>,
    /// Flush now.
    pub flush: mpsc::Sender<FlushRequest>,
    /// Publish now.
    pub publish: mpsc::Sender<PublishRequest>,
    /// Writes snapshots at rest.
    pub snapshots: SnapshotWriter,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
    /// How long a revocation may drain before it is abandoned.
    pub drain_budget: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stay {
    tenure: Tenure,
    /// Attached and fetched; otherwise still being taken over.
    working: bool,
}

type TakeOverResult = (i32, Tenure, Result<Recovered, TakeOverError>);

/// The owner of this process's partitions.
pub struct Ownership {
    parts: Arc<Parts>,
    stays: BTreeMap<i32, Stay>,
    fences: BTreeMap<i32, u32>,
    next_tenure: Tenure,
    results: mpsc::UnboundedSender<TakeOverResult>,
    taken_over: mpsc::UnboundedReceiver<TakeOverResult>,
}

impl Ownership {
    /// Owns nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (results, taken_over) = mpsc::unbounded_channel();
        let (stays, fences) = Default::default();
        Self {
            parts: Arc::new(parts),
            stays,
            fences,
            next_tenure: 1,
            results,
            taken_over,
        }
    }

    /// Works until something ends the process.
    ///
    /// # Errors
    /// The reason why the process must end.
    pub async fn run(
        &mut self,
        group: &mut mpsc::UnboundedReceiver<GroupEvent>,
        actors: &mut mpsc::UnboundedReceiver<ActorEvent>,
    ) -> Result<(), OwnershipError> {
        loop {
            tokio::select! {
                event = group.recv() => match event {
                    Some(event) => self.on_group(event)?,
                    None => return Err(OwnershipError::PollThreadEnded),
                },
                event = actors.recv() => match event {
                    Some(event) => self.on_actor(event).await?,
                    None => return Err(OwnershipError::WorkerDied),
                },
                Some((partition, tenure, result)) = self.taken_over.recv() => {
                    self.on_taken_over(partition, tenure, result)?;
                }
            }
        }
    }

    /// Finishes everything inside the budget, for shutdown; gives the group offsets to leave behind.
    pub async fn finish(&mut self) -> Vec<(i32, i64)> {
        let working = self.working(&self.stays.keys().copied().collect::<Vec<_>>());
        self.stays.clear();
        drain(&self.parts, &working).await
    }

    fn on_group(&mut self, event: GroupEvent) -> Result<(), OwnershipError> {
        match event {
            GroupEvent::Assigned(partitions) => self.assigned(&partitions),
            GroupEvent::Revoked(partitions) => self.revoked(partitions),
            GroupEvent::Lost(partitions) => self.lost(&partitions),
            GroupEvent::Denied(code) => self.denied(code),
            GroupEvent::Trouble(cause) => warn!(cause, "Kafka"),
            GroupEvent::Fatal(cause) => return Err(OwnershipError::Kafka(cause)),
        }
        Ok(())
    }

    async fn on_actor(&mut self, event: ActorEvent) -> Result<(), OwnershipError> {
        match event {
            ActorEvent::WentLive(partition, _) => info!(partition, "live"),
            ActorEvent::Stopped(partition, tenure, stop) => self.stopped(partition, tenure, stop),
            ActorEvent::Fenced(partition, tenure) => self.fenced(partition, tenure),
            ActorEvent::Restart(partition, tenure) => self.restart(partition, tenure),
            ActorEvent::FetchFailed(error) => self.fetch_failed(&error).await,
            ActorEvent::WorkerDied => return Err(OwnershipError::WorkerDied),
        }
        Ok(())
    }

    /// Rights may be given back at any time, and librdkafka tries again by itself: the process stays and says what is missing.
    fn denied(&self, code: RDKafkaErrorCode) {
        let (dependency, call, remedy) = match code {
            RDKafkaErrorCode::GroupAuthorizationFailed => (
                Dependency::Group,
                JOIN,
                "grant READ on the groups that begin with spec.kafka.groupPrefix to the user of spec.kafka.security",
            ),
            _ => (
                Dependency::Source,
                "fetch",
                "grant READ on spec.source.topic to the user of spec.kafka.security",
            ),
        };
        warn!(%dependency, %code, remedy, "Kafka denies a right");
        self.parts.health.fails(dependency, call, &format!("{code}; {remedy}"));
    }

    fn assigned(&mut self, partitions: &[i32]) {
        self.parts.health.joined();
        self.parts.health.works(Dependency::Group, JOIN);
        self.fences.clear();
        for partition in partitions {
            self.take_over(*partition, Duration::ZERO);
        }
        self.count();
    }

    fn revoked(&mut self, partitions: Vec<i32>) {
        self.fences.clear();
        let working = self.working(&partitions);
        self.forget(&partitions);
        let parts = Arc::clone(&self.parts);
        tokio::spawn(async move {
            let offsets = drain(&parts, &working).await;
            // The poll thread is gone only when the process ends.
            let _ = parts.poll.send(PollCommand::Release(partitions, offsets));
        });
    }

    fn lost(&mut self, partitions: &[i32]) {
        self.fences.clear();
        for partition in partitions {
            self.parts.workers.detach(*partition);
        }
        self.forget(partitions);
    }

    fn fenced(&mut self, partition: i32, tenure: Tenure) {
        if !self.is_current(partition, tenure) {
            return;
        }
        let fences = self.fences.entry(partition).or_insert(0);
        *fences += 1;
        let count = *fences;
        warn!(partition, fences = count, "fenced while assigned here");
        self.halt(partition);
        if count >= FENCES_BEFORE_REJOIN {
            self.rejoin();
        } else {
            self.take_over(partition, jittered(FENCE_PAUSE * count));
        }
    }

    /// Somebody else keeps taking what the group gave us: let the coordinator decide anew.
    fn rejoin(&mut self) {
        let all: Vec<i32> = self.stays.keys().copied().collect();
        self.lost(&all);
        self.command(PollCommand::Rejoin);
    }

    fn restart(&mut self, partition: i32, tenure: Tenure) {
        if self.is_current(partition, tenure) {
            warn!(partition, "the result store lost commits; recovering again");
            self.halt(partition);
            self.take_over(partition, Duration::ZERO);
        }
    }

    fn stopped(&mut self, partition: i32, tenure: Tenure, stop: Stop) {
        if self.is_current(partition, tenure) {
            self.halt(partition);
            self.stays.remove(&partition);
            self.parts.health.stopped(partition, stop);
            self.parts.metrics.forget_partition(partition);
            self.count();
        }
    }

    async fn fetch_failed(&mut self, error: &FetchError) {
        warn!(partition = error.partition, %error, "Kafka");
        if error.is_position_lost() {
            self.position_lost(error.partition).await;
        } else if error.code == RDKafkaErrorCode::TopicAuthorizationFailed {
            self.denied(error.code);
        }
    }

    /// The partition fell off its log: the bounds and its position tell on which side.
    async fn position_lost(&mut self, partition: i32) {
        let Some(stay) = self.stays.get(&partition).copied() else {
            return;
        };
        let bounds = self
            .parts
            .log
            .ask(move |log| log.bounds(&[partition]))
            .await
            .unwrap_or_else(|error| {
                self.parts.health.fails(Dependency::Kafka, "log_bounds", &error);
                BTreeMap::new()
            });
        let reports = self.parts.workers.report().await;
        let position = reports.iter().find(|report| report.partition == partition);
        self.parts.workers.detach(partition);
        let off = |(log, report): (&LogBounds, &PartitionReport)| off_log(report.position, *log);
        match bounds.get(&partition).zip(position).and_then(off) {
            Some(stop) => self.stopped(partition, stay.tenure, stop),
            // Fetching ended without a visible reason: recovery finds it, or goes on.
            None => self.restart(partition, stay.tenure),
        }
    }

    fn on_taken_over(
        &mut self,
        partition: i32,
        tenure: Tenure,
        result: Result<Recovered, TakeOverError>,
    ) -> Result<(), OwnershipError> {
        if !self.is_current(partition, tenure) {
            return Ok(());
        }
        match result {
            Ok(recovered) => self.start(partition, tenure, recovered),
            Err(TakeOverError::Stop(stop)) => {
                tracing::error!(partition, reason = stop.code(), "partition stops: {stop}");
                self.stopped(partition, tenure, stop);
            }
            Err(TakeOverError::Away(cause)) => return Err(OwnershipError::TakeOver { partition, cause }),
        }
        Ok(())
    }

    fn start(&mut self, partition: i32, tenure: Tenure, recovered: Recovered) {
        for reason in &recovered.unusable_snapshots {
            warn!(partition, reason, "snapshot left aside");
        }
        let start = Start {
            offset: recovered.resume_offset,
            attached: Attached {
                partition: recovered.partition,
                tenure,
            },
        };
        self.command(PollCommand::Change(Change::Start(Box::new(start))));
        self.stays.insert(partition, Stay { tenure, working: true });
    }

    fn take_over(&mut self, partition: i32, pause: Duration) {
        let tenure = self.next_tenure;
        self.next_tenure += 1;
        self.stays.insert(partition, Stay { tenure, working: false });
        let (parts, results) = (Arc::clone(&self.parts), self.results.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let result = parts.take_over.run(partition).await;
            // Nobody waits for it only when the process ends.
            let _ = results.send((partition, tenure, result));
        });
    }

    fn halt(&mut self, partition: i32) {
        self.command(PollCommand::Change(Change::Halt(vec![partition])));
    }

    fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.stays.remove(partition);
            self.parts.health.gone(*partition);
            self.parts.metrics.forget_partition(*partition);
        }
        self.count();
    }

    fn count(&self) {
        let metrics = &self.parts.metrics;
        metrics
            .partitions
            .set(i64::try_from(self.stays.len()).unwrap_or(i64::MAX));
        let stopped = self.parts.health.stopped_partitions().len();
        metrics
            .partitions_stopped
            .set(i64::try_from(stopped).unwrap_or(i64::MAX));
    }

    fn working(&self, partitions: &[i32]) -> Vec<i32> {
        let works = |partition: &&i32| self.stays.get(partition).is_some_and(|stay| stay.working);
        partitions.iter().filter(works).copied().collect()
    }

    fn is_current(&self, partition: i32, tenure: Tenure) -> bool {
        self.stays.get(&partition).is_some_and(|stay| stay.tenure == tenure)
    }

    fn command(&self, command: PollCommand) {
        // The poll thread is gone only when the process ends.
        let _ = self.parts.poll.send(command);
    }
}

fn off_log(position: i64, log: LogBounds) -> Option<Stop> {
    if position < log.start {
        Some(Stop::RetentionPassed {
            wanted: position,
            log_start: log.start,
        })
    } else if position > log.end {
        Some(Stop::LogTruncated {
            next_offset: position,
            log_end: log.end,
        })
    } else {
        None
    }
}

/// Finishes partitions: ends their intake, commits, publishes, leaves a snapshot where nothing is newer. Over budget,
/// the rest is abandoned and the next owner replays it. Gives the committed offsets for the group.
async fn drain(parts: &Parts, partitions: &[i32]) -> Vec<(i32, i64)> {
    if partitions.is_empty() {
        return Vec::new();
    }
    if tokio::time::timeout(parts.drain_budget, settle(parts, partitions))
        .await
        .is_err()
    {
        warn!(?partitions, "drain ran out of time; the next owner replays the rest");
    }
    let reports = parts.workers.report().await;
    for partition in partitions {
        parts.workers.detach(*partition);
    }
    let mine = reports.iter().filter(|report| partitions.contains(&report.partition));
    mine.map(|report| (report.partition, report.committed)).collect()
}

async fn settle(parts: &Parts, partitions: &[i32]) {
    parts.workers.drain(partitions).await;
    // One flush may be under way with older records: the next one takes the rest.
    request(&parts.flush).await;
    request(&parts.publish).await;
    for partition in partitions {
        if let Some(image) = parts.workers.at_rest(*partition).await {
            parts.snapshots.write(image).await;
        }
    }
}

async fn request(to: &mpsc::Sender<tokio::sync::oneshot::Sender<()>>) {
    let (reply, done) = tokio::sync::oneshot::channel();
    if to.send(reply).await.is_ok() {
        // The loop ends only with the process.
        let _ = done.await;
    }
}
