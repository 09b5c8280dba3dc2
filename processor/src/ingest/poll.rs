//! The poll thread: keeps this process a member of the group, and says which partitions are fetched.
//!
//! It serves the group's events and carries out commands between two polls; records go past it, into the workers'
//! queues. It never waits for a store, and for a worker only as long as that takes for the records in its hands: so a
//! rebalance is answered at once, and the group's poll interval is kept, whatever else the process is busy with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::rebalance::Fact;
use super::record_queue::{GroupConsumer, RecordQueue, Route};
use crate::crash_points::crash_point;
use crate::partition::actor::Attached;
use crate::partition::workers::{Workers, worker_of};
use crate::resilience::health::Pulse;

/// How long a poll waits for an event; commands wait as long.
const IDLE: Duration = Duration::from_millis(10);

/// What the poll thread is told.
pub enum PollCommand {
    /// Change what is fetched, once no revocation waits for its answer.
    Change(Change),
    /// Answer a revocation: commit group offsets, then give the partitions up.
    Release(Vec<i32>, Vec<(i32, i64)>),
    /// Commit group offsets.
    CommitOffsets(Vec<(i32, i64)>),
    /// Leave the group and join again.
    Rejoin,
    /// Commit these, leave the group and end.
    Close(Vec<(i32, i64)>),
}

/// A change of what is fetched.
pub enum Change {
    /// Fetch a partition from an offset, if it is still assigned.
    Start(Box<Start>),
    /// Stop fetching partitions; they stay assigned to this member.
    Halt(Vec<i32>),
}

/// A partition to fetch.
pub struct Start {
    /// The recovered partition, for its worker.
    pub attached: Attached,
    /// First offset.
    pub offset: i64,
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
    /// Kafka denies a right.
    Denied(RDKafkaErrorCode),
    /// Kafka said something worth showing.
    Trouble(String),
    /// The client cannot go on.
    Fatal(String),
}

/// Everything that lives on the poll thread.
pub struct PollLoop {
    consumer: Arc<GroupConsumer>,
    topic: String,
    commands: Receiver<PollCommand>,
    events: UnboundedSender<GroupEvent>,
    workers: Arc<Workers>,
    /// One for each worker.
    queues: Vec<Arc<RecordQueue>>,
    pulse: Arc<Pulse>,
    /// Assigned by the group.
    assigned: BTreeSet<i32>,
    /// Fetched: assigned, taken over and started.
    fetched: BTreeMap<i32, Route>,
    /// Changes that wait while a revocation is not answered: the client takes any unassignment for the answer, and would
    /// give away what is not committed yet.
    waiting: Option<Vec<Change>>,
}

impl PollLoop {
    /// A loop over a consumer that has not subscribed yet.
    #[must_use]
    pub fn new(
        consumer: Arc<GroupConsumer>,
        topic: String,
        commands: Receiver<PollCommand>,
        events: UnboundedSender<GroupEvent>,
        workers: Arc<Workers>,
        queues: Vec<Arc<RecordQueue>>,
        pulse: Arc<Pulse>,
    ) -> Self {
        let (assigned, fetched, waiting) = Default::default();
        Self {
            consumer,
            topic,
            commands,
            events,
            workers,
            queues,
            pulse,
            assigned,
            fetched,
            waiting,
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
            self.serve_events();
            self.relay_facts();
            self.fetched.values().for_each(Route::renew);
            match self.obey() {
                Obeyed::GoOn => {}
                Obeyed::Close(offsets) => {
                    self.close(&offsets);
                    return Ok(());
                }
            }
        }
    }

    /// Serves what the group has to say; its facts are recorded on the way.
    fn serve_events(&self) {
        let mut wait = IDLE;
        while let Some(event) = self.consumer.poll(wait) {
            match event {
                Ok(record) => self.tell(GroupEvent::Fatal(format!(
                    "record {} of partition {} went past its worker",
                    record.offset(),
                    record.partition()
                ))),
                Err(error) => self.tell(group_error(&error)),
            }
            wait = Duration::ZERO;
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
                    // The client gives nothing more of any partition until this is answered.
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    self.waiting.get_or_insert_default();
                    self.tell(GroupEvent::Revoked(partitions));
                }
                Fact::Lost(partitions) => {
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    self.unassign(&partitions);
                    self.go_on();
                    self.tell(GroupEvent::Lost(partitions));
                }
            }
        }
    }

    fn obey(&mut self) -> Obeyed {
        loop {
            match self.commands.try_recv() {
                Ok(PollCommand::Change(change)) => self.change(change),
                Ok(PollCommand::Release(partitions, offsets)) => {
                    // librdkafka finishes the commit before it lets the partitions go.
                    self.commit(&offsets, CommitMode::Async);
                    self.unassign(&partitions);
                    self.go_on();
                }
                Ok(PollCommand::CommitOffsets(offsets)) => self.commit(&offsets, CommitMode::Async),
                Ok(PollCommand::Rejoin) => self.rejoin(),
                Ok(PollCommand::Close(offsets)) => return Obeyed::Close(offsets),
                Err(std::sync::mpsc::TryRecvError::Empty) => return Obeyed::GoOn,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Obeyed::Close(Vec::new()),
            }
        }
    }

    fn change(&mut self, change: Change) {
        match (change, &mut self.waiting) {
            (change, Some(waiting)) => waiting.push(change),
            (Change::Start(start), None) => self.start(*start),
            (Change::Halt(partitions), None) => self.unassign(&partitions),
        }
    }

    /// No revocation waits for its answer any more: makes the changes that waited, in their order.
    fn go_on(&mut self) {
        for change in self.waiting.take().into_iter().flatten() {
            self.change(change);
        }
    }

    /// The re-check after a take-over: callbacks run on this thread, so `assigned` cannot change meanwhile.
    fn start(&mut self, start: Start) {
        let Start { attached, offset } = start;
        let (partition, tenure) = (attached.partition.fence().partition, attached.tenure);
        if !self.assigned.contains(&partition) || self.fetched.contains_key(&partition) {
            info!(partition, tenure, "no longer assigned; not started");
            return;
        }
        let queue = &self.queues[worker_of(partition, self.queues.len())];
        let Some(route) = queue.route(&self.topic, partition) else {
            self.tell(GroupEvent::Fatal(format!("partition {partition} has no queue")));
            return;
        };
        // The worker has the partition before the first of its records.
        let parked = self.workers.park(&[partition]);
        self.workers.attach(attached);
        let started = self.assign(partition, offset);
        drop(parked);
        if let Err(error) = started {
            self.tell(GroupEvent::Fatal(format!(
                "partition {partition} could not be started at {offset}: {error}"
            )));
            return;
        }
        info!(partition, tenure, offset, "fetching");
        self.fetched.insert(partition, route);
    }

    fn assign(&self, partition: i32, offset: i64) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.incremental_assign(&list)
    }

    /// Gives up those that are fetched. An empty delta is legal, and answers a revocation as well.
    fn unassign(&mut self, partitions: &[i32]) {
        let mut fetched: Vec<i32> = partitions.to_vec();
        fetched.retain(|partition| self.fetched.remove(partition).is_some());
        let parked = self.workers.park(&fetched);
        let unassigned = self.consumer.incremental_unassign(&self.list(&fetched));
        drop(parked);
        if let Err(error) = unassigned {
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
        let all: Vec<i32> = self.fetched.keys().copied().collect();
        self.unassign(&all);
        self.assigned.clear();
        self.go_on();
        self.consumer.unsubscribe();
        if let Err(error) = self.consumer.subscribe(&[&self.topic]) {
            self.tell(GroupEvent::Fatal(format!("subscribing again was refused: {error}")));
        }
    }

    /// Commits the last group offsets and leaves: dropping the consumer closes it. The workers have ended by now, so
    /// that this is the last to hold it.
    fn close(mut self, offsets: &[(i32, i64)]) {
        self.commit(offsets, CommitMode::Sync);
        self.consumer.context().close();
        let all: Vec<i32> = self.fetched.keys().copied().collect();
        self.unassign(&all);
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

fn group_error(error: &KafkaError) -> GroupEvent {
    match error {
        KafkaError::MessageConsumption(
            code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed),
        ) => GroupEvent::Denied(*code),
        KafkaError::MessageConsumptionFatal(code) => GroupEvent::Fatal(format!("Kafka client: {code}")),
        other => GroupEvent::Trouble(other.to_string()),
    }
}
