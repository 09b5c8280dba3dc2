//! The poll thread: owns the group's consumer and nothing else.
//!
//! It drains Kafka into one batch per partition, hands batches to the workers' queues and carries out commands between
//! two polls. It never waits for a store, and never stops polling: a full queue pauses its partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::batch::{Batch, BatchPool};
use super::rebalance::{Fact, GroupContext};
use crate::crash_points::crash_point;
use crate::partition::actor::{Delivery, Tenure, WorkerMailbox};
use crate::partition::queue::Backlog;
use crate::resilience::health::Pulse;

/// How long a poll waits for the first message; commands wait as long.
const IDLE: Duration = Duration::from_millis(10);
/// The same while a partition is paused.
const IDLE_PAUSED: Duration = Duration::from_millis(2);
/// Messages taken in one lap before commands and facts are looked at.
const LAP_MESSAGES: usize = 4096;
/// Batches are handed over at this size, so that decoding starts while the lap goes on.
const BATCH_BYTES: usize = 128 * 1024;
/// A full queue gets this long to sink before its partition is paused: pausing throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_millis(50);
/// One nap while waiting for it.
const NAP: Duration = Duration::from_millis(1);

/// What the poll thread is told.
pub enum PollCommand {
    /// Fetch a partition from an offset, if it is still assigned.
    Start(Box<Start>),
    /// Stop fetching partitions; they stay assigned to this member.
    Halt(Vec<i32>),
    /// Answer a revocation: commit group offsets, then give the partitions up.
    Release(Vec<i32>, Vec<(i32, i64)>),
    /// Commit group offsets.
    CommitOffsets(Vec<(i32, i64)>),
    /// Leave the group and join again.
    Rejoin,
    /// Commit these, leave the group and end.
    Close(Vec<(i32, i64)>),
}

/// A partition to fetch.
pub struct Start {
    /// Partition.
    pub partition: i32,
    /// Its stay.
    pub tenure: Tenure,
    /// First offset.
    pub offset: i64,
    /// Bytes that wait for its worker.
    pub backlog: Arc<Backlog>,
    /// Its worker.
    pub mailbox: Arc<WorkerMailbox>,
}

/// What the poll thread tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// See [`Fact::Assigned`].
    Assigned(Vec<i32>),
    /// See [`Fact::Revoked`]; answered by [`PollCommand::Release`].
    Revoked(Vec<i32>),
    /// See [`Fact::Lost`]; already given up.
    Lost(Vec<i32>),
    /// A position is outside the log of some partition.
    PositionLost,
    /// Kafka said something worth showing.
    Trouble(String),
    /// The client cannot go on.
    Fatal(String),
}

struct Intake {
    tenure: Tenure,
    backlog: Arc<Backlog>,
    mailbox: Arc<WorkerMailbox>,
    open: Batch,
    paused: bool,
    /// Being revoked: what still comes belongs to the next owner.
    ending: bool,
}

/// Everything that lives on the poll thread.
pub struct PollLoop {
    consumer: BaseConsumer<GroupContext>,
    topic: String,
    commands: Receiver<PollCommand>,
    events: UnboundedSender<GroupEvent>,
    pool: BatchPool,
    pulse: Arc<Pulse>,
    /// Assigned by the group.
    assigned: BTreeSet<i32>,
    /// Fetched: assigned, taken over and started.
    intakes: BTreeMap<i32, Intake>,
    full_since: Option<Instant>,
}

impl PollLoop {
    /// A loop over a consumer that has not subscribed yet.
    #[must_use]
    pub fn new(
        consumer: BaseConsumer<GroupContext>,
        topic: String,
        commands: Receiver<PollCommand>,
        events: UnboundedSender<GroupEvent>,
        pool: BatchPool,
        pulse: Arc<Pulse>,
    ) -> Self {
        let (assigned, intakes) = Default::default();
        Self {
            consumer,
            topic,
            commands,
            events,
            pool,
            pulse,
            assigned,
            intakes,
            full_since: None,
        }
    }

    /// Joins the group and polls until [`PollCommand::Close`], or until nobody commands any more.
    ///
    /// # Errors
    /// The subscription was refused.
    pub fn run(mut self) -> KafkaResult<()> {
        self.consumer.subscribe(&[&self.topic])?;
        loop {
            self.pulse.beat();
            self.lap();
            self.hand_over_all();
            self.relay_facts();
            self.mind_backlogs();
            match self.obey() {
                Obeyed::GoOn => {}
                Obeyed::Close(offsets) => {
                    self.close(&offsets);
                    return Ok(());
                }
            }
        }
    }

    /// Takes what is there, up to a bound.
    fn lap(&mut self) {
        let paused = self.intakes.values().any(|intake| intake.paused);
        let mut wait = if paused { IDLE_PAUSED } else { IDLE };
        for _ in 0..LAP_MESSAGES {
            match self.consumer.poll(wait) {
                None => return,
                Some(Ok(message)) => take(&mut self.intakes, &self.pool, &message),
                Some(Err(error)) => report(&self.events, &error),
            }
            wait = Duration::ZERO;
        }
    }

    fn hand_over_all(&mut self) {
        for (partition, intake) in &mut self.intakes {
            hand_over(*partition, intake, &self.pool);
        }
    }

    fn relay_facts(&mut self) {
        for fact in self.consumer.context().take_facts() {
            match fact {
                Fact::Assigned(partitions) => {
                    self.assigned.extend(&partitions);
                    self.tell(GroupEvent::Assigned(partitions));
                }
                Fact::Revoked(partitions) => {
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    // Intake ends here; what was handed over is drained by its worker.
                    for partition in &partitions {
                        self.intakes.entry(*partition).and_modify(|intake| intake.ending = true);
                    }
                    self.tell(GroupEvent::Revoked(partitions));
                }
                Fact::Lost(partitions) => {
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    self.unassign(&partitions);
                    self.tell(GroupEvent::Lost(partitions));
                }
            }
        }
    }

    /// Waits a little for full queues, then pauses their partitions; lets low ones go on.
    fn mind_backlogs(&mut self) {
        let full: Vec<i32> = self.which(|intake| !intake.paused && intake.backlog.is_full());
        if full.is_empty() {
            self.full_since = None;
        } else if self.full_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            std::thread::sleep(NAP);
        } else {
            self.set_paused(&full, true);
        }
        let low = self.which(|intake| intake.paused && intake.backlog.is_low());
        self.set_paused(&low, false);
    }

    fn which(&self, wanted: impl Fn(&Intake) -> bool) -> Vec<i32> {
        self.intakes
            .iter()
            .filter(|(_, intake)| wanted(intake))
            .map(|(partition, _)| *partition)
            .collect()
    }

    fn set_paused(&mut self, partitions: &[i32], paused: bool) {
        if partitions.is_empty() {
            return;
        }
        let list = self.list(partitions);
        let result = if paused {
            self.consumer.pause(&list)
        } else {
            self.consumer.resume(&list)
        };
        if let Err(error) = result {
            warn!(?partitions, paused, %error, "intake could not be paused or resumed");
            return;
        }
        debug!(?partitions, paused, "intake");
        for partition in partitions {
            if let Some(intake) = self.intakes.get_mut(partition) {
                intake.paused = paused;
            }
        }
    }

    fn obey(&mut self) -> Obeyed {
        loop {
            match self.commands.try_recv() {
                Ok(PollCommand::Start(start)) => self.start(*start),
                Ok(PollCommand::Halt(partitions)) => self.unassign(&partitions),
                Ok(PollCommand::Release(partitions, offsets)) => {
                    // librdkafka finishes the commit before it lets the partitions go.
                    self.commit(&offsets, CommitMode::Async);
                    self.unassign(&partitions);
                }
                Ok(PollCommand::CommitOffsets(offsets)) => self.commit(&offsets, CommitMode::Async),
                Ok(PollCommand::Rejoin) => self.rejoin(),
                Ok(PollCommand::Close(offsets)) => return Obeyed::Close(offsets),
                Err(std::sync::mpsc::TryRecvError::Empty) => return Obeyed::GoOn,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Obeyed::Close(Vec::new()),
            }
        }
    }

    /// The re-check after a take-over: callbacks run on this thread, so `assigned` cannot change meanwhile.
    fn start(&mut self, start: Start) {
        let Start {
            partition,
            tenure,
            offset,
            backlog,
            mailbox,
        } = start;
        if !self.assigned.contains(&partition) || self.intakes.contains_key(&partition) {
            info!(partition, tenure, "no longer assigned; not started");
            return;
        }
        let mut list = TopicPartitionList::new();
        let started = list
            .add_partition_offset(&self.topic, partition, Offset::Offset(offset))
            .and_then(|()| self.consumer.incremental_assign(&list));
        if let Err(error) = started {
            self.tell(GroupEvent::Fatal(format!(
                "partition {partition} could not be started at {offset}: {error}"
            )));
            return;
        }
        info!(partition, tenure, offset, "fetching");
        self.intakes.insert(
            partition,
            Intake {
                tenure,
                backlog,
                mailbox,
                open: self.pool.take(),
                paused: false,
                ending: false,
            },
        );
    }

    /// Gives up those that are fetched. An empty delta is legal, and answers a revocation as well.
    fn unassign(&mut self, partitions: &[i32]) {
        let mut fetched = Vec::new();
        for partition in partitions {
            if let Some(intake) = self.intakes.remove(partition) {
                self.pool.give_back(intake.open);
                fetched.push(*partition);
            }
        }
        if let Err(error) = self.consumer.incremental_unassign(&self.list(&fetched)) {
            warn!(?fetched, %error, "partitions could not be unassigned");
        }
    }

    fn commit(&self, offsets: &[(i32, i64)], mode: CommitMode) {
        crash_point!("group_offsets.before");
        if offsets.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            // Offsets come from committed progress and are never negative, the only thing refused here.
            let _ = list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset));
        }
        match self.consumer.commit(&list, mode) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => debug!(%error, "group offsets were not committed; they only show lag"),
        }
    }

    fn rejoin(&mut self) {
        warn!("leaving the group to join again");
        let all: Vec<i32> = self.intakes.keys().copied().collect();
        self.unassign(&all);
        self.assigned.clear();
        self.consumer.unsubscribe();
        if let Err(error) = self.consumer.subscribe(&[&self.topic]) {
            self.tell(GroupEvent::Fatal(format!("subscribing again was refused: {error}")));
        }
    }

    /// Commits the last group offsets and leaves: dropping the consumer closes it.
    fn close(self, offsets: &[(i32, i64)]) {
        self.commit(offsets, CommitMode::Sync);
        self.consumer.context().close();
        let all: Vec<i32> = self.intakes.keys().copied().collect();
        if let Err(error) = self.consumer.incremental_unassign(&self.list(&all)) {
            debug!(%error, "nothing to unassign while closing");
        }
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    fn tell(&self, event: GroupEvent) {
        // Nobody listens any more only when the process ends.
        let _ = self.events.send(event);
    }
}

enum Obeyed {
    GoOn,
    Close(Vec<(i32, i64)>),
}

/// Appends a message to its partition's open batch; one without an intake belongs to the next owner.
fn take(intakes: &mut BTreeMap<i32, Intake>, pool: &BatchPool, message: &BorrowedMessage<'_>) {
    let partition = message.partition();
    let Some(intake) = intakes.get_mut(&partition).filter(|intake| !intake.ending) else {
        return;
    };
    intake.open.push(message);
    if intake.open.bytes() >= BATCH_BYTES {
        hand_over(partition, intake, pool);
    }
}

fn hand_over(partition: i32, intake: &mut Intake, pool: &BatchPool) {
    if intake.open.is_empty() {
        return;
    }
    let batch = std::mem::replace(&mut intake.open, pool.take());
    intake.backlog.add(batch.bytes());
    intake.mailbox.push_records(Delivery {
        partition,
        tenure: intake.tenure,
        batch,
    });
}

fn report(events: &UnboundedSender<GroupEvent>, error: &KafkaError) {
    let event = match error {
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            GroupEvent::PositionLost
        }
        KafkaError::MessageConsumptionFatal(code) => GroupEvent::Fatal(format!("Kafka client: {code}")),
        other => GroupEvent::Trouble(other.to_string()),
    };
    // Nobody listens any more only when the process ends.
    let _ = events.send(event);
}
