//! The schedule: who acts when, what goes wrong, and what must hold.

use std::sync::Arc;

use super::calls::{Answer, Call};
use super::defect::Defect;
use super::latest::SimLatest;
use super::log::{PARTITIONS, REVISIONS, World};
use super::network::{Message, Network, Sender};
use super::process::{Outbox, Process};
use super::report::{Counts, Failure};
use super::rng::Rng;
use super::store::SimStore;

/// Processes per revision.
const PROCESSES: usize = 2;
/// Steps with faults.
const STORM: u64 = 900;
/// Steps after the storm in which messages are still lost and late.
const DRIZZLE: u64 = 150;
/// Steps after them within which everything must be right.
const CALM: u64 = 1_500;
/// How long a process waits for an answer.
const PATIENCE: u64 = 12;

struct Simulation {
    seed: u64,
    now: u64,
    rng: Rng,
    world: Arc<World>,
    ends: Vec<i64>,
    store: SimStore,
    store_down_until: u64,
    latest: SimLatest,
    network: Network,
    processes: Vec<Process>,
    /// Until when each process stands still or lies dead.
    asleep_until: Vec<u64>,
    /// By revision and partition: who owns it, as the group sees it, and since which generation.
    owners: Vec<Vec<(usize, u64)>>,
    generation: u64,
    requests: u64,
    lives: u64,
    defect: Option<Defect>,
    counts: Counts,
    objection: Option<String>,
}

/// Runs a seed over a log, with a defect or without.
///
/// # Errors
/// What was violated, and when.
pub fn run(seed: u64, world: &Arc<World>, defect: Option<Defect>) -> Result<Counts, Failure> {
    let mut simulation = Simulation::new(seed, world, defect);
    simulation.rebalance_all();
    while simulation.now < STORM {
        simulation.step(true)?;
    }
    simulation.end_faults();
    while simulation.now < STORM + DRIZZLE + CALM {
        simulation.step(simulation.now < STORM + DRIZZLE)?;
        if simulation.now.is_multiple_of(50) && simulation.is_at_rest() {
            return Ok(simulation.counts);
        }
    }
    let missing = simulation
        .final_objection()
        .unwrap_or_else(|| "a process never came to rest".to_owned());
    Err(simulation.failure(format!("I8: {CALM} steps after the last fault: {missing}")))
}

impl Simulation {
    fn new(seed: u64, world: &Arc<World>, defect: Option<Defect>) -> Self {
        let count = PROCESSES * REVISIONS.len();
        let process = |index: usize| Process::new(index / PROCESSES, index as u64 + 1, defect);
        Self {
            seed,
            now: 0,
            rng: Rng::new(seed),
            world: Arc::clone(world),
            ends: vec![0; PARTITIONS as usize],
            store: SimStore::new(Arc::clone(world), defect),
            store_down_until: 0,
            latest: SimLatest::new(Arc::clone(world), defect),
            network: Network::default(),
            processes: (0..count).map(process).collect(),
            asleep_until: vec![0; count],
            owners: vec![vec![(usize::MAX, 0); PARTITIONS as usize]; REVISIONS.len()],
            generation: 0,
            requests: 0,
            lives: count as u64,
            defect,
            counts: Counts::default(),
            objection: None,
        }
    }

    fn failure(&self, reason: String) -> Failure {
        Failure {
            seed: self.seed,
            at: self.now,
            reason,
        }
    }

    fn step(&mut self, lossy: bool) -> Result<(), Failure> {
        self.now += 1;
        if self.now <= STORM + DRIZZLE / 2 {
            self.produce();
        } else {
            self.ends = self.world.records.iter().map(|records| records.len() as i64).collect();
        }
        if self.now <= STORM {
            self.misfortune();
        } else if lossy && self.rng.one_in(30) {
            // Also while the last values are published, after which nothing touches them again.
            let all = self.rng.one_in(2);
            self.lose_projection(all);
        }
        while let Some(message) = self.network.due(self.now) {
            self.arrive(message, lossy);
        }
        for index in 0..self.processes.len() {
            if self.asleep_until[index] <= self.now {
                self.act(index, lossy);
            }
        }
        let stopped = self.processes.iter().find_map(Process::stopped);
        match self.objection.take().or(stopped) {
            Some(reason) => Err(self.failure(reason)),
            None => Ok(()),
        }
    }

    fn produce(&mut self) {
        for (end, records) in self.ends.iter_mut().zip(&self.world.records) {
            let room = records.len() as i64 - *end;
            *end += room.min(i64::from(self.rng.one_in(11)));
        }
    }

    /// One thing that a process does of its own accord.
    fn act(&mut self, index: usize, lossy: bool) {
        let mut outbox = Outbox::new();
        let choice = self.rng.index(PARTITIONS as usize);
        let count = 1 + self.rng.below(12) as i64;
        let process = &mut self.processes[index];
        match self.rng.below(8) {
            0 => process.take_over(&mut self.requests, &mut outbox),
            1..=3 => process.ingest(choice, count, &self.ends, &self.world, &mut self.counts),
            4 | 5 => process.flush(&mut self.requests, &mut outbox, &mut self.counts),
            6 => process.publish(&mut self.requests, &mut outbox),
            _ if self.rng.one_in(3) => process.check(&mut self.requests, &mut outbox),
            _ => {}
        }
        self.send_all(index, outbox, lossy);
    }

    fn send_all(&mut self, index: usize, outbox: Outbox, lossy: bool) {
        let Process { life, revision, .. } = self.processes[index];
        for (request, call) in outbox {
            let sender = Sender {
                process: index,
                life,
                revision,
                request,
            };
            self.network
                .send(self.now + PATIENCE, Message::Reply(sender, Answer::None));
            let lost = lossy && self.rng.one_in(25);
            let late = lossy && self.rng.one_in(12);
            let delay = if late {
                self.rng.below(10 * PATIENCE)
            } else {
                self.rng.below(4)
            };
            if !lost {
                let reply_lost = lossy && self.rng.one_in(12);
                self.network
                    .send(self.now + delay, Message::Request(sender, call, reply_lost));
            }
        }
    }

    fn arrive(&mut self, message: Message, lossy: bool) {
        match message {
            Message::Request(sender, call, reply_lost) => {
                if self.now < self.store_down_until && !call.is_for_projection() {
                    return;
                }
                let answer = self.serve(sender, call);
                if !reply_lost {
                    let delay = 1 + self.rng.below(4);
                    self.network.send(self.now + delay, Message::Reply(sender, answer));
                }
            }
            Message::Reply(sender, answer) => self.reply(sender, answer, lossy),
            Message::Assign {
                process,
                partition,
                generation,
            } => self.processes[process].assign(partition, generation),
            Message::Revoke {
                process,
                partition,
                generation,
            } => self.processes[process].revoke(partition, generation),
        }
    }

    /// A process that stands still reads its replies when it goes on.
    fn reply(&mut self, sender: Sender, answer: Answer, lossy: bool) {
        let Sender {
            process, life, request, ..
        } = sender;
        if self.processes[process].life != life {
            return;
        }
        if self.asleep_until[process] > self.now {
            return self
                .network
                .send(self.asleep_until[process], Message::Reply(sender, answer));
        }
        let mut outbox = Outbox::new();
        let context = (&*self.world, self.ends.as_slice());
        self.processes[process].answered(request, answer, context, (&mut self.requests, &mut outbox));
        self.send_all(process, outbox, lossy);
    }

    fn serve(&mut self, Sender { revision, .. }: Sender, call: Call) -> Answer {
        match call {
            Call::TakeOver { partition, nonce } => {
                Answer::TakenOver(Box::new(self.store.take_over((revision, partition), nonce)))
            }
            Call::Snapshots { fence, next } => {
                Answer::Snapshots(self.store.snapshots((revision, fence.partition), next))
            }
            Call::Commit(advances) => {
                let (result, objection) = self.store.commit(revision, &advances);
                self.objection = self.objection.take().or(objection);
                let crashed = self.rng.one_in(20);
                self.store.write_owed(revision, crashed);
                Answer::Committed(result)
            }
            Call::Progress => Answer::Progress(self.store.progress(revision)),
            Call::SaveSnapshot { fence, snapshot } => {
                self.store.save_snapshot(revision, &fence, *snapshot);
                Answer::Done
            }
            Call::Publish(publishes) => {
                let (behind, objection) = self.latest.publish(revision, &publishes);
                self.objection = self.objection.take().or(objection);
                Answer::Published(behind)
            }
            Call::Markers => Answer::Markers(self.latest.markers(revision)),
            Call::Live => {
                let shown = self.latest.live();
                let shown_markers = shown.map(|shown| self.latest.markers(shown)).unwrap_or_default();
                Answer::Live {
                    live: self.store.live(),
                    shown,
                    shown_markers,
                }
            }
            Call::SetLive => {
                self.latest.set_live(revision);
                Answer::Done
            }
        }
    }

    fn misfortune(&mut self) {
        let process = self.rng.index(self.processes.len());
        match self.rng.below(240) {
            0 | 1 => self.crash(process),
            2 | 3 => self.freeze(process),
            4..=6 => self.rebalance(self.processes[process].revision),
            7 => self.fail_over(),
            8 => self.store_down_until = self.now + self.rng.below(60),
            9 => self.lose_projection(true),
            10 => self.lose_projection(false),
            11 => self.latest.save(),
            12 | 13 => {
                self.store.flip();
                self.counts.flips += 1;
            }
            _ => {}
        }
    }

    fn crash(&mut self, index: usize) {
        self.lives += 1;
        self.counts.crashes += 1;
        let revision = self.processes[index].revision;
        self.processes[index] = Process::new(revision, self.lives, self.defect);
        self.asleep_until[index] = self.now + 5 + self.rng.below(40);
        self.replace(index);
    }

    /// The process stands still, the group gives its partitions away, and it goes on as if nothing had happened.
    fn freeze(&mut self, index: usize) {
        self.counts.zombies += 1;
        self.asleep_until[index] = self.now + 10 + self.rng.below(80);
        self.replace(index);
    }

    fn replace(&mut self, index: usize) {
        let revision = self.processes[index].revision;
        for partition in 0..PARTITIONS {
            if self.owners[revision][partition as usize].0 == index {
                let heir = revision * PROCESSES + self.rng.index(PROCESSES);
                self.give(revision, partition, heir, 6);
            }
        }
    }

    fn rebalance(&mut self, revision: usize) {
        for partition in 0..PARTITIONS {
            let heir = revision * PROCESSES + self.rng.index(PROCESSES);
            self.give(revision, partition, heir, 30);
        }
    }

    fn rebalance_all(&mut self) {
        (0..REVISIONS.len()).for_each(|revision| self.rebalance(revision));
    }

    /// The new owner may hear of it long before the old one does.
    fn give(&mut self, revision: usize, partition: i32, heir: usize, delay: u64) {
        self.generation += 1;
        let generation = self.generation;
        let (owner, _) = std::mem::replace(&mut self.owners[revision][partition as usize], (heir, generation));
        if owner != usize::MAX && owner != heir {
            let late = if self.rng.one_in(3) { 10 * delay } else { delay };
            let when = self.now + self.rng.below(late + 1);
            self.network.send(
                when,
                Message::Revoke {
                    process: owner,
                    partition,
                    generation,
                },
            );
        }
        let when = self.now + self.rng.below(delay + 1);
        self.network.send(
            when,
            Message::Assign {
                process: heir,
                partition,
                generation,
            },
        );
    }

    /// Half of the requests under way die with the machine, the others find the new one through a pooler.
    fn fail_over(&mut self) {
        let lost = 1 + self.rng.index(5);
        if self.store.fail_over(lost) > 0 {
            self.counts.failovers += 1;
        }
        if self.rng.one_in(2) {
            self.network.drop_store_requests();
        }
    }

    fn lose_projection(&mut self, all: bool) {
        self.latest.lose(all);
        self.counts.projection_losses += 1;
    }

    /// Everyone wakes, and the group tells everyone what is true.
    fn end_faults(&mut self) {
        self.store_down_until = 0;
        self.asleep_until.fill(0);
        self.generation += 1;
        for index in 0..self.processes.len() {
            let revision = self.processes[index].revision;
            for partition in 0..PARTITIONS {
                let (owner, generation) = self.owners[revision][partition as usize];
                let message = if owner == index {
                    Message::Assign {
                        process: index,
                        partition,
                        generation,
                    }
                } else {
                    Message::Revoke {
                        process: index,
                        partition,
                        generation: self.generation,
                    }
                };
                let when = self.now + self.rng.below(300);
                self.network.send(when, message);
            }
        }
    }

    fn final_objection(&self) -> Option<String> {
        self.store
            .final_objection()
            .or_else(|| self.latest.final_objection(self.store.live()))
    }

    fn is_at_rest(&mut self) -> bool {
        let at_rest = self.processes.iter().all(|process| process.is_at_rest(&self.ends));
        if at_rest && self.final_objection().is_none() {
            for truth in self.world.truth.values() {
                self.counts.rows += truth.rows.count() as u64;
                self.counts.judged += truth.rows.judged() as u64;
            }
            return true;
        }
        false
    }
}
