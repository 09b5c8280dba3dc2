//! A simulated processor: drives the real protocol core with calls that may be lost, late or answered twice.
//!
//! It decides nothing itself: recovery, replay, batches and verdicts are `assay_processor::partition`, what to publish is
//! `assay_processor::commit::book`.

use std::collections::BTreeMap;

use assay_processor::commit::book::{Book, has_caught_up};
use assay_processor::latest::Publish;
use assay_processor::partition::actor::Changed;
use assay_processor::partition::{CommitCycle, CycleStep, LogBounds, Partition, SnapshotImage, Stop, Verdict, recover};
use assay_processor::stores::{Fence, Progress, Snapshot, StoreError};

use super::calls::{Answer, Call};
use super::defect::Defect;
use super::log::World;
use super::report::Counts;

/// Bytes of log between two snapshots.
const SNAPSHOT_BYTES: u64 = 3_000;

/// A partition's stay in a process.
#[derive(Debug)]
enum Seat {
    /// Waits for a bump, or for its time to ask for one.
    Waiting { since_request: Option<u64> },
    /// Waits for snapshots.
    Reading { progress: Box<Progress>, request: u64 },
    /// Reads the log.
    Here {
        partition: Box<Partition>,
        fetch: i64,
        announced: bool,
    },
    /// Gave up for good: always a failure of the run.
    Stopped(Stop),
}

/// A flush under way.
#[derive(Debug)]
struct Flush {
    cycle: CommitCycle,
    fences: BTreeMap<i32, Fence>,
    snapshots: Vec<SnapshotImage>,
    request: Option<u64>,
}

/// What the process waits for, besides its seats and its flush.
#[derive(Debug)]
enum Errand {
    Publish(Vec<Publish>),
    Markers,
    /// Own markers are known; asks which revision is live, which is shown, and where that one stands.
    Live {
        own: BTreeMap<i32, i64>,
    },
    Settled,
}

/// One process of one revision.
#[derive(Debug)]
pub(super) struct Process {
    /// Index of its revision.
    pub(super) revision: usize,
    /// Which life of the process this is: answers to an earlier one are dropped.
    pub(super) life: u64,
    /// Generation of each assignment it believes in.
    pub(super) assigned: BTreeMap<i32, u64>,
    seats: BTreeMap<i32, Seat>,
    flush: Option<Flush>,
    book: Book,
    errand: Option<(u64, Errand)>,
    defect: Option<Defect>,
    nonce: u64,
}

/// Calls that a step wants to make; the world numbers and sends them.
pub(super) type Outbox = Vec<(u64, Call)>;

impl Process {
    /// A process without partitions.
    #[must_use]
    pub(super) fn new(revision: usize, life: u64, defect: Option<Defect>) -> Self {
        Self {
            revision,
            life,
            assigned: BTreeMap::new(),
            seats: BTreeMap::new(),
            flush: None,
            book: Book::default(),
            errand: None,
            defect,
            nonce: life << 32,
        }
    }

    /// The group gives it a partition.
    pub(super) fn assign(&mut self, partition: i32, generation: u64) {
        if self.assigned.get(&partition).is_none_or(|known| *known < generation) {
            self.assigned.insert(partition, generation);
            self.seats.insert(partition, Seat::Waiting { since_request: None });
        }
    }

    /// The group takes a partition away; an older message than the assignment changes nothing.
    pub(super) fn revoke(&mut self, partition: i32, generation: u64) {
        if self.assigned.get(&partition).is_some_and(|known| *known < generation) {
            self.assigned.remove(&partition);
            self.seats.remove(&partition);
        }
    }

    /// A partition that stopped, if any.
    #[must_use]
    pub(super) fn stopped(&self) -> Option<String> {
        self.seats.iter().find_map(|(partition, seat)| match seat {
            Seat::Stopped(stop) => Some(format!("partition {partition} stopped: {stop}")),
            _ => None,
        })
    }

    /// Asks for the bumps that are due.
    pub(super) fn take_over(&mut self, number: &mut u64, outbox: &mut Outbox) {
        for (&partition, seat) in &mut self.seats {
            if let Seat::Waiting {
                since_request: request @ None,
            } = seat
            {
                *number += 1;
                self.nonce += 1;
                *request = Some(*number);
                outbox.push((
                    *number,
                    Call::TakeOver {
                        partition,
                        nonce: self.nonce as i64,
                    },
                ));
            }
        }
    }

    /// Steps up to `count` records of one partition.
    pub(super) fn ingest(&mut self, choice: usize, count: i64, ends: &[i64], world: &World, counts: &mut Counts) {
        let here: Vec<i32> = self
            .seats
            .iter()
            .filter(|(_, seat)| matches!(seat, Seat::Here { .. }))
            .map(|(p, _)| *p)
            .collect();
        let Some(&number) = here.get(choice % here.len().max(1)) else {
            return;
        };
        let Some(Seat::Here { partition, fetch, .. }) = self.seats.get_mut(&number) else {
            return;
        };
        let to = (*fetch + count).min(ends[number as usize]);
        match partition.ingest(world.read(number, *fetch, to)) {
            Ok(applied) => {
                counts.replayed += applied.replayed;
                *fetch = to.max(*fetch);
            }
            Err(stop) => drop(self.seats.insert(number, Seat::Stopped(stop))),
        }
    }

    /// Starts a flush, or goes on with the one under way where it waits for nothing.
    pub(super) fn flush(&mut self, number: &mut u64, outbox: &mut Outbox, counts: &mut Counts) {
        if self.flush.is_none() {
            self.collect();
        }
        let Some(flush) = &mut self.flush else { return };
        if flush.request.is_some() {
            return;
        }
        *number += 1;
        let call = match flush.cycle.step() {
            CycleStep::Done => return self.settle(number, outbox, counts),
            CycleStep::Commit(advances) => Call::Commit(advances.to_vec()),
            CycleStep::ReadProgress => Call::Progress,
        };
        flush.request = Some(*number);
        outbox.push((*number, call));
    }

    fn collect(&mut self) {
        let (mut advances, mut fences, mut snapshots) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut resting = Vec::new();
        for (&number, seat) in &mut self.seats {
            let Seat::Here { partition, .. } = seat else { continue };
            fences.insert(number, partition.fence().clone());
            if let Some(advance) = partition.make_advance() {
                let due = partition.snapshot_due(SNAPSHOT_BYTES).is_some();
                snapshots.extend(due.then(|| partition.take_snapshot()));
                advances.push(advance);
            } else {
                resting.extend(partition.resting());
            }
        }
        let cycle = if !advances.is_empty() {
            CommitCycle::new(advances)
        } else if matches!(self.defect, Some(Defect::RestUnchecked | Defect::LostReplyTrusted)) {
            // The check would mend what the other defect breaks.
            return;
        } else {
            CommitCycle::new(vec![]).and_check(resting)
        };
        self.flush = Some(Flush {
            cycle,
            fences,
            snapshots,
            request: None,
        });
    }

    fn settle(&mut self, number: &mut u64, outbox: &mut Outbox, counts: &mut Counts) {
        let Some(Flush {
            cycle,
            fences,
            snapshots,
            ..
        }) = self.flush.take()
        else {
            return;
        };
        counts.ambiguous += cycle.ambiguous();
        let verdicts = cycle.into_verdicts();
        for image in snapshots {
            let advanced = verdicts.get(&image.fence.partition) == Some(&Verdict::Advanced);
            if let (true, Ok(snapshot)) = (advanced, image.encode()) {
                *number += 1;
                outbox.push((
                    *number,
                    Call::SaveSnapshot {
                        fence: image.fence.clone(),
                        snapshot: Box::new(snapshot),
                    },
                ));
            }
        }
        for (partition, verdict) in verdicts {
            self.settle_one(partition, &fences[&partition], &verdict, counts);
        }
    }

    /// A verdict concerns the tenure that made the advance, not a later one of the same partition.
    fn settle_one(&mut self, number: i32, fence: &Fence, verdict: &Verdict, counts: &mut Counts) {
        let Some(Seat::Here { partition, .. }) = self.seats.get_mut(&number) else {
            return;
        };
        if partition.fence() != fence {
            return;
        }
        partition.settle(verdict);
        let next = match verdict {
            Verdict::Advanced => return,
            Verdict::Fenced => {
                counts.fenced += 1;
                let never = (self.defect == Some(Defect::FencedForGood)).then_some(0);
                Seat::Waiting { since_request: never }
            }
            Verdict::Restart => {
                counts.restarted += 1;
                Seat::Waiting { since_request: None }
            }
            Verdict::Stopped(stop) => Seat::Stopped(stop.clone()),
        };
        self.seats.insert(number, next);
    }

    /// Publishes what is due, one call at a time.
    pub(super) fn publish(&mut self, number: &mut u64, outbox: &mut Outbox) {
        if self.errand.is_some() {
            return;
        }
        let changed: Vec<Changed> = self.seats.values_mut().filter_map(changed_of).collect();
        let mut due = self.book.sort(changed);
        if due.is_empty() {
            let Some(&owed) = self.book.owed().first() else { return };
            let whole = match self.seats.get_mut(&owed) {
                Some(Seat::Here { partition, .. }) => partition.everything(),
                _ => None,
            };
            let Some(whole) = whole else {
                return self.book.forget(owed);
            };
            due = vec![whole];
        }
        *number += 1;
        outbox.push((*number, Call::Publish(due.clone())));
        self.errand = Some((*number, Errand::Publish(due)));
    }

    /// The comparison of every second.
    pub(super) fn check(&mut self, number: &mut u64, outbox: &mut Outbox) {
        if self.errand.is_none() {
            *number += 1;
            outbox.push((*number, Call::Markers));
            self.errand = Some((*number, Errand::Markers));
        }
    }

    /// An answer, or that none came in time.
    pub(super) fn answered(
        &mut self,
        request: u64,
        answer: Answer,
        (world, ends): (&World, &[i64]),
        (number, outbox): (&mut u64, &mut Outbox),
    ) {
        if self.flush.as_ref().is_some_and(|flush| flush.request == Some(request)) {
            return self.flush_answered(answer);
        }
        if self.errand.as_ref().is_some_and(|(waiting, _)| *waiting == request) {
            return self.errand_answered(answer, number, outbox);
        }
        let waits = |seat: &Seat| match seat {
            Seat::Waiting { since_request } => *since_request == Some(request),
            Seat::Reading { request: waiting, .. } => *waiting == request,
            Seat::Here { .. } | Seat::Stopped(_) => false,
        };
        let seat = self
            .seats
            .iter()
            .find(|(_, seat)| waits(seat))
            .map(|(partition, _)| *partition);
        if let Some(partition) = seat {
            self.seat_answered(partition, answer, (world, ends), (number, outbox));
        }
    }

    fn seat_answered(
        &mut self,
        partition: i32,
        answer: Answer,
        (world, ends): (&World, &[i64]),
        (number, outbox): (&mut u64, &mut Outbox),
    ) {
        let seat = match (self.seats.remove(&partition), answer) {
            (Some(Seat::Waiting { .. }), Answer::TakenOver(progress)) => {
                *number += 1;
                outbox.push((
                    *number,
                    Call::Snapshots {
                        fence: progress.fence.clone(),
                        next: progress.next_offset,
                    },
                ));
                Seat::Reading {
                    progress,
                    request: *number,
                }
            }
            (Some(Seat::Reading { progress, .. }), Answer::Snapshots(snapshots)) => {
                self.recover(*progress, &snapshots, world, ends[partition as usize])
            }
            // No answer: begin again with a bump.
            _ => Seat::Waiting { since_request: None },
        };
        self.seats.insert(partition, seat);
    }

    fn recover(&self, progress: Progress, snapshots: &[Snapshot], world: &World, end: i64) -> Seat {
        let next = progress.next_offset;
        match recover(
            progress,
            snapshots,
            LogBounds { start: 0, end },
            &world.settings[self.revision],
        ) {
            Err(stop) => Seat::Stopped(stop),
            Ok(recovered) => {
                let skipping = self.defect == Some(Defect::ReplaySkipped);
                let fetch = if skipping { next } else { recovered.resume_offset };
                Seat::Here {
                    partition: Box::new(recovered.partition),
                    fetch,
                    announced: false,
                }
            }
        }
    }

    fn flush_answered(&mut self, answer: Answer) {
        let Some(flush) = &mut self.flush else { return };
        flush.request = None;
        match (flush.cycle.step(), answer) {
            (CycleStep::Commit(_), Answer::Committed(result)) => flush.cycle.committed(result),
            (CycleStep::Commit(advances), _) => {
                let all = advances.iter().map(|advance| advance.fence.partition).collect();
                let lost = Err(StoreError::Unavailable("no answer".into()));
                let trusting = self.defect == Some(Defect::LostReplyTrusted);
                flush.cycle.committed(if trusting { Ok(all) } else { lost });
            }
            (CycleStep::ReadProgress, Answer::Progress(rows)) => flush.cycle.progress_read(&rows),
            _ => {}
        }
    }

    fn errand_answered(&mut self, answer: Answer, number: &mut u64, outbox: &mut Outbox) {
        let Some((_, errand)) = self.errand.take() else { return };
        let mut go_on = |call: Call, errand: Errand| {
            *number += 1;
            outbox.push((*number, call));
            Some((*number, errand))
        };
        match (errand, answer) {
            (Errand::Publish(due), Answer::Published(behind)) => drop(self.book.worked(&due, &behind)),
            (Errand::Publish(due), _) => self.book.failed(&due),
            (Errand::Markers, Answer::Markers(markers)) => {
                if self.defect != Some(Defect::MarkersUnchecked) {
                    self.book.compare(&markers);
                }
                self.errand = go_on(Call::Live, Errand::Live { own: markers });
            }
            (
                Errand::Live { own },
                Answer::Live {
                    live,
                    shown,
                    shown_markers,
                },
            ) => {
                let once = self.defect == Some(Defect::LiveKeySetOnce) && shown.is_some();
                let behind = shown.is_some() && !has_caught_up(&own, &shown_markers);
                if live == self.revision && shown != Some(live) && !behind && !once {
                    self.errand = go_on(Call::SetLive, Errand::Settled);
                }
            }
            _ => {}
        }
    }

    /// Whether everything is read, committed and published.
    #[must_use]
    pub(super) fn is_at_rest(&self, ends: &[i64]) -> bool {
        let done = |(number, seat): (&i32, &Seat)| match seat {
            Seat::Here { partition, .. } => {
                partition.committed() == ends[*number as usize] && !partition.is_in_flight()
            }
            _ => false,
        };
        self.seats.iter().all(done) && self.book.owed().is_empty()
    }
}

/// As the worker does it: whole once after the take-over, changes from then on.
fn changed_of(seat: &mut Seat) -> Option<Changed> {
    let Seat::Here {
        partition, announced, ..
    } = seat
    else {
        return None;
    };
    if !*announced {
        let publish = partition.everything()?;
        *announced = true;
        return Some(Changed { publish, whole: true });
    }
    let views = partition.take_changed();
    let publish = Publish {
        partition: partition.fence().partition,
        marker: partition.position(),
        since: None,
        views,
    };
    Some(Changed { publish, whole: false })
}
