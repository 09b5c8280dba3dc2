//! The thread that owns partitions: takes their records, decodes, steps and collects effects, and answers requests in
//! between.
//!
//! It reads records from its own queue, in place: a thread between Kafka's client and the step would cost more than the
//! step. The group's events are the poll thread's, so the group never waits for a computation here, and a worker that
//! takes no records holds nobody up: its queue fills, and the client stops fetching. Nothing here waits for a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{debug, error, info};

use super::mailbox::Mailbox;
use super::{Applied, Partition, Resting, SnapshotImage, Stop, Verdict};
use crate::crash_points::crash_point;
use crate::ingest::record_queue::{FetchError, LogMessage, RecordReader};
use crate::latest::Publish;
use crate::stores::{Advance, Fence};
use crate::telemetry::Metrics;

/// With a flush under way, a worker takes no more records beyond this many bytes: a store that is away must not let
/// memory, replay and the distance between Redis and Postgres grow without bound.
const HELD_BYTES: u64 = 32 * 1024 * 1024;

/// How long a call waits for its room to fill. Bounds the time that a record lies there unseen; requests, and the
/// publisher's among them, end the wait earlier.
const WAIT: Duration = Duration::from_millis(10);

/// The stay of a partition in this process; a new take-over gets a new number.
pub type Tenure = u64;

/// What a worker can be asked.
#[derive(Debug)]
pub enum Request {
    /// Take a partition in.
    Attach(Box<Attached>),
    /// Drop a partition; nothing more of it is collected.
    Detach(i32),
    /// Give the next advance of every partition that has one, and a snapshot where one is wanted and due.
    Collect {
        /// Whether the last one has been written.
        wants_snapshot: bool,
        /// The answer.
        reply: oneshot::Sender<Collected>,
    },
    /// Take the verdicts of what was collected.
    Settle(Vec<(Fence, Verdict)>),
    /// Give where progress must stand, of every partition without an advance under way.
    Resting(oneshot::Sender<Vec<Resting>>),
    /// Give what changed since the last time.
    Changed(oneshot::Sender<Vec<Changed>>),
    /// Give all views of one partition; `None` where it is not live here.
    Everything(i32, oneshot::Sender<Option<Publish>>),
    /// Take no more records of these, and answer.
    Drain(Vec<i32>, oneshot::Sender<()>),
    /// Do nothing for a while.
    StandStill(Standstill),
    /// Give the state of one partition if everything of it is committed.
    AtRest(i32, oneshot::Sender<Option<SnapshotImage>>),
    /// Describe the partitions.
    Report(oneshot::Sender<Vec<PartitionReport>>),
    /// End the thread.
    Finish,
}

/// What one live partition has to publish.
#[derive(Debug)]
pub struct Changed {
    /// Views and marker.
    pub publish: Publish,
    /// These are all views: the first ones since the take-over, because the previous owner may have published less
    /// than it committed.
    pub whole: bool,
}

/// A worker's pause while its partitions change.
#[derive(Debug)]
pub struct Standstill {
    /// Tells that the worker stands still.
    pub here: Sender<()>,
    /// Ends when it may go on.
    pub until: Receiver<()>,
}

/// A partition on its way into a worker.
#[derive(Debug)]
pub struct Attached {
    /// The recovered partition.
    pub partition: Partition,
    /// Its stay.
    pub tenure: Tenure,
}

/// Advances, and snapshots to write once they are in the tables.
#[derive(Debug, Default)]
pub struct Collected {
    /// At most one a partition.
    pub advances: Vec<Advance>,
    /// Images of states right after some of them; at most one a worker.
    pub snapshots: Vec<SnapshotImage>,
}

/// A partition as status shows it.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReport {
    /// Partition.
    pub partition: i32,
    /// `replaying` or `live`.
    pub phase: &'static str,
    /// Epoch of the fence.
    pub epoch: i64,
    /// Everything below went through the state.
    pub position: i64,
    /// Everything below is in the tables.
    pub committed: i64,
    /// Watermark, microseconds.
    pub watermark_us: Option<i64>,
    /// Trades that changed the state, since the revision's start.
    pub accepted: u64,
    /// Late trades.
    pub late: u64,
    /// Copies.
    pub duplicate: u64,
    /// Dead letters by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// What happened to a partition inside a worker.
#[derive(Debug)]
pub enum ActorEvent {
    /// Replay is over.
    WentLive(i32, Tenure),
    /// It stopped for good and is no longer in the worker.
    Stopped(i32, Tenure, Stop),
    /// Another owner has it; it is no longer in the worker.
    Fenced(i32, Tenure),
    /// It must be recovered again; it is no longer in the worker.
    Restart(i32, Tenure),
    /// Kafka's client told an error in the place of a record.
    FetchFailed(FetchError),
    /// The worker ended without being asked to.
    WorkerDied,
}

/// What a worker shares with the rest of the process.
#[derive(Clone)]
pub struct Shared {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where events go.
    pub events: mpsc::UnboundedSender<ActorEvent>,
    /// Wakes the flush before its time.
    pub rows_full: Arc<Notify>,
    /// Rows that wake it.
    pub max_rows: usize,
    /// Bytes of log between two snapshots.
    pub snapshot_bytes: u64,
}

/// The requests to a worker.
pub type WorkerMailbox = Mailbox<Request>;

struct Actor {
    partition: Partition,
    tenure: Tenure,
    /// Being drained: what still comes belongs to the next owner.
    ending: bool,
    /// Everything was handed out for publishing once.
    announced: bool,
}

impl Actor {
    fn changed(&mut self) -> Option<Changed> {
        if !self.announced {
            let publish = self.partition.everything()?;
            self.announced = true;
            return Some(Changed { publish, whole: true });
        }
        let views = self.partition.take_changed();
        let fence = self.partition.fence();
        Some(Changed {
            publish: Publish {
                partition: fence.partition,
                marker: self.partition.position(),
                since: None,
                views,
            },
            whole: false,
        })
    }
}

/// One worker thread's state.
struct Worker {
    actors: BTreeMap<i32, Actor>,
    shared: Shared,
    /// A flush is under way, whether or not it has anything from here.
    flushing: bool,
    /// Bytes stepped since the last collect.
    uncollected_bytes: u64,
}

/// Runs a worker until [`Request::Finish`].
pub fn run_worker(mailbox: &WorkerMailbox, mut reader: RecordReader, shared: Shared) {
    let mut end = End {
        mailbox,
        alarm: Some(shared.events.clone()),
    };
    let mut worker = Worker {
        actors: BTreeMap::new(),
        shared,
        flushing: false,
        uncollected_bytes: 0,
    };
    loop {
        // A held worker takes requests only.
        let request = if worker.is_held() {
            Some(mailbox.wait())
        } else {
            mailbox.take()
        };
        match request {
            Some(Request::Finish) => break,
            Some(request) => worker.answer(request),
            None => worker.ingest(&reader.take(WAIT)),
        }
    }
    end.alarm = None;
}

/// Closes the mailbox of a worker that ends, and tells of one that unwinds, because nothing else would notice.
struct End<'a> {
    mailbox: &'a WorkerMailbox,
    alarm: Option<mpsc::UnboundedSender<ActorEvent>>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.mailbox.close();
        if let Some(events) = self.alarm.take() {
            // Nobody listens any more only when the process ends anyway.
            let _ = events.send(ActorEvent::WorkerDied);
        }
    }
}

impl Worker {
    fn is_held(&self) -> bool {
        self.flushing && self.uncollected_bytes > HELD_BYTES
    }

    fn answer(&mut self, request: Request) {
        // A requester that went away needs no answer: hence `let _` on every reply.
        match request {
            Request::Attach(attached) => self.attach(*attached),
            Request::Detach(partition) => drop(self.actors.remove(&partition)),
            Request::Collect { wants_snapshot, reply } => drop(reply.send(self.collect(wants_snapshot))),
            Request::Settle(verdicts) => self.settle(verdicts),
            Request::Resting(reply) => {
                let resting = self.actors.values().filter_map(|actor| actor.partition.resting());
                drop(reply.send(resting.collect()));
            }
            Request::Changed(reply) => drop(reply.send(self.changed())),
            Request::Everything(partition, reply) => {
                drop(
                    reply.send(
                        self.actors
                            .get_mut(&partition)
                            .and_then(|actor| actor.partition.everything()),
                    ),
                );
            }
            Request::Drain(partitions, reply) => {
                for partition in partitions {
                    self.actors.entry(partition).and_modify(|actor| actor.ending = true);
                }
                let _ = reply.send(());
            }
            Request::StandStill(Standstill { here, until }) => {
                // Nobody sends on the second: it ends when its other half is dropped.
                let _ = here.send(()).map(|()| until.recv());
            }
            Request::AtRest(partition, reply) => {
                drop(
                    reply.send(
                        self.actors
                            .get(&partition)
                            .and_then(|actor| actor.partition.snapshot_at_rest()),
                    ),
                );
            }
            Request::Report(reply) => drop(reply.send(self.actors.values().map(report).collect())),
            Request::Finish => {}
        }
    }

    fn attach(&mut self, attached: Attached) {
        let Attached { partition, tenure } = attached;
        let number = partition.fence().partition;
        let is_live = !partition.is_replaying();
        self.actors.insert(
            number,
            Actor {
                partition,
                tenure,
                ending: false,
                announced: false,
            },
        );
        if is_live {
            self.tell(ActorEvent::WentLive(number, tenure));
        }
    }

    fn ingest(&mut self, messages: &[LogMessage]) {
        if messages.is_empty() {
            return;
        }
        let started = Instant::now();
        for run in messages.chunk_by(belong_together) {
            self.ingest_run(run);
        }
        let metrics = &self.shared.metrics;
        metrics.batch_seconds.observe(started.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 records")]
        metrics.batch_records.observe(messages.len() as f64);
        let rows: usize = self.actors.values().map(|actor| actor.partition.pending_rows()).sum();
        if rows >= self.shared.max_rows && !self.flushing {
            self.shared.rows_full.notify_one();
        }
    }

    /// Records of one partition, or errors. Records without an actor belong to an earlier stay, or to the next owner.
    fn ingest_run(&mut self, run: &[LogMessage]) {
        let [first, ..] = run else { return };
        if !first.is_record() {
            for error in run.iter().filter_map(LogMessage::error) {
                self.tell(ActorEvent::FetchFailed(error));
            }
            return;
        }
        let number = first.partition();
        let Some(actor) = self.actors.get_mut(&number).filter(|actor| !actor.ending) else {
            return;
        };
        let was_replaying = actor.partition.is_replaying();
        if was_replaying {
            crash_point!("replay.batch");
        }
        let run = skip_known(run, actor.partition.position(), &self.shared.metrics);
        let result = actor.partition.ingest(run.iter().map(LogMessage::record));
        let (tenure, went_live) = (actor.tenure, was_replaying && !actor.partition.is_replaying());
        match result {
            Ok(applied) => self.applied(number, applied),
            Err(stop) => return self.stop(number, tenure, stop),
        }
        if went_live {
            self.tell(ActorEvent::WentLive(number, tenure));
        }
    }

    fn applied(&mut self, partition: i32, applied: Applied) {
        let metrics = &self.shared.metrics;
        metrics.records.inc_by(applied.live);
        metrics.replayed.inc_by(applied.replayed);
        metrics.bytes.inc_by(applied.bytes);
        if applied.skipped > 0 {
            metrics.skipped_offsets.inc_by(applied.skipped);
            debug!(partition, offsets = applied.skipped, "the log skipped offsets");
        }
        if applied.live > 0 {
            self.uncollected_bytes += applied.bytes;
        }
    }

    fn collect(&mut self, wants_snapshot: bool) -> Collected {
        let partitions = self.actors.values_mut().map(|actor| &mut actor.partition);
        let advances: Vec<_> = partitions.filter_map(Partition::make_advance).collect();
        self.flushing = true;
        self.uncollected_bytes = 0;
        let snapshots = wants_snapshot.then(|| self.snapshot()).flatten();
        Collected {
            advances,
            snapshots: Vec::from_iter(snapshots),
        }
    }

    /// Of the partitions that are due the one that has waited longest. Partitions that started together are due together;
    /// copied in one go, their states would take memory for all, and time in which nothing is stepped.
    fn snapshot(&mut self) -> Option<SnapshotImage> {
        let every_bytes = self.shared.snapshot_bytes;
        let partitions = self.actors.values_mut().map(|actor| &mut actor.partition);
        let due = partitions.filter_map(|partition| Some((partition.snapshot_due(every_bytes)?, partition)));
        due.max_by_key(|(bytes, _)| *bytes)
            .map(|(_, partition)| partition.take_snapshot())
    }

    fn settle(&mut self, verdicts: Vec<(Fence, Verdict)>) {
        self.flushing = false;
        for (fence, verdict) in verdicts {
            let partition = fence.partition;
            let Some(actor) = self
                .actors
                .get_mut(&partition)
                .filter(|actor| *actor.partition.fence() == fence)
            else {
                continue;
            };
            actor.partition.settle(&verdict);
            let tenure = actor.tenure;
            match verdict {
                Verdict::Advanced => {}
                Verdict::Fenced => self.leave(ActorEvent::Fenced(partition, tenure), partition),
                Verdict::Restart => self.leave(ActorEvent::Restart(partition, tenure), partition),
                Verdict::Stopped(stop) => self.stop(partition, tenure, stop),
            }
        }
    }

    fn changed(&mut self) -> Vec<Changed> {
        self.actors.values_mut().filter_map(Actor::changed).collect()
    }

    fn stop(&mut self, partition: i32, tenure: Tenure, stop: Stop) {
        error!(partition, reason = stop.code(), "partition stops: {stop}");
        self.leave(ActorEvent::Stopped(partition, tenure, stop), partition);
    }

    fn leave(&mut self, event: ActorEvent, partition: i32) {
        self.actors.remove(&partition);
        self.tell(event);
    }

    fn tell(&self, event: ActorEvent) {
        info!(?event, "partition event");
        // Nobody listens any more only when the process ends.
        let _ = self.shared.events.send(event);
    }
}

/// Whether two neighbours go through the same step: records of one partition, or errors.
fn belong_together(one: &LogMessage, other: &LogMessage) -> bool {
    one.partition() == other.partition() && one.is_record() == other.is_record()
}

/// Leaves out what went through the state already. The client pauses a partition while the group rebalances, and goes
/// on where the last finished call ended: what a call took in that very moment comes again.
fn skip_known<'a>(run: &'a [LogMessage], position: i64, metrics: &Metrics) -> &'a [LogMessage] {
    let known = run.iter().take_while(|message| message.offset() < position).count();
    if known > 0 {
        metrics.repeated.inc_by(known as u64);
        debug!(position, records = known, "came again");
    }
    &run[known..]
}

fn report(actor: &Actor) -> PartitionReport {
    let partition = &actor.partition;
    let counters = partition.state().counters();
    PartitionReport {
        partition: partition.fence().partition,
        phase: if partition.is_replaying() { "replaying" } else { "live" },
        epoch: partition.fence().epoch,
        position: partition.position(),
        committed: partition.committed(),
        watermark_us: partition.state().watermark_us(),
        accepted: counters.accepted,
        late: counters.late,
        duplicate: counters.duplicate,
        rejected: counters.rejected.clone(),
    }
}
