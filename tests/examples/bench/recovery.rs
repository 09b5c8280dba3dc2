//! From an assignment to the first commit, and from a `kill -9` to the first commit of a successor.
//!
//! The successor starts at the kill, as a pod's container would, with records waiting. Kafka gives it the partitions when
//! the dead member's session has lapsed; then it takes them over, replays what came after the last snapshot, and commits.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use assay_tests::wait;

use crate::Arguments;
use crate::child::wait_for_mark;
use crate::lab::Lab;
use crate::log::{Log, Shape, trades};
use crate::processor::{Processor, SNAPSHOT_BYTES, Stores};
use crate::table::Figures;

/// With the default the whole log is replayed; with the other at most so much of each partition.
const SNAPSHOTS: [(&str, i32); 2] = [
    ("a snapshot every 64 MiB of a partition (the default)", SNAPSHOT_BYTES),
    ("a snapshot every 8 MiB of a partition", SNAPSHOT_BYTES / 8),
];
/// Records that wait for the successor: some in every partition.
const WAITING: usize = 6_000;
const LIMIT: Duration = Duration::from_mins(2);

/// Rounds of start, kill and succession, with seldom and with frequent snapshots.
pub(crate) fn measure_recovery(lab: &Lab, arguments: &Arguments) -> Result<Figures> {
    let mut log = Log::fill(&lab.kafka, Shape::USUAL, arguments.records, arguments.slowness)?;
    let mut more = trades(Shape::USUAL, arguments.slowness)?.skip(arguments.records);
    let mut figures = Figures::new("s", 2);
    for round in 0..arguments.rounds {
        for (name, snapshot_bytes) in SNAPSHOTS {
            let mut succession = Succession {
                lab,
                program: &arguments.assay[0],
                stores: Stores::create(lab, &arguments.assay[0])?,
                snapshot_bytes,
            };
            let fresh = succession.start_afresh(&log)?;
            figures.add("empty stores: assignment to first commit", fresh.first);
            let killed = Instant::now();
            log.extend(&lab.kafka, more.by_ref().take(WAITING))?;
            let found = succession.succeed(&log, killed)?;
            figures.add(&format!("{name}: assignment to first commit"), found.first);
            figures.add(&format!("{name}: kill -9 to first commit"), found.first_since_kill);
            figures.add(
                &format!("{name}: kill -9 to commits in all partitions"),
                found.all_since_kill,
            );
            eprintln!("round {}: {name}: {found:?}", round + 1);
        }
    }
    Ok(figures)
}

/// Seconds.
#[derive(Debug)]
struct Found {
    /// From the assignment to the first commit of any partition.
    first: f64,
    first_since_kill: f64,
    all_since_kill: f64,
}

struct Succession<'a> {
    lab: &'a Lab,
    program: &'a Path,
    stores: Stores,
    snapshot_bytes: i32,
}

impl Succession<'_> {
    /// The first processor, from nothing to the log's end; killed there.
    fn start_afresh(&mut self, log: &Log) -> Result<Found> {
        let (mut processor, found) = self.start(log, Instant::now())?;
        processor.child.kill();
        Ok(found)
    }

    /// The successor on what the first one left.
    fn succeed(&mut self, log: &Log, killed: Instant) -> Result<Found> {
        let (processor, found) = self.start(log, killed)?;
        processor.shut_down()?;
        Ok(found)
    }

    /// Starts a processor and waits until it has committed up to the log's end.
    fn start(&mut self, log: &Log, since: Instant) -> Result<(Processor, Found)> {
        let before = self.stores.committed(self.lab)?;
        let mut processor = Processor::start(self.lab, self.program, log, &self.stores, self.snapshot_bytes)?;
        let assigned = wait_for_mark(&mut processor.child, "\"assigned\"", LIMIT)?;
        let first = self.wait_for_commits(&mut processor, |now| moved(&before, now))?;
        let all = self.wait_for_commits(&mut processor, |now| now == log.ends)?;
        let found = Found {
            first: first.duration_since(assigned).as_secs_f64(),
            first_since_kill: first.duration_since(since).as_secs_f64(),
            all_since_kill: all.duration_since(since).as_secs_f64(),
        };
        Ok((processor, found))
    }

    fn wait_for_commits(&mut self, processor: &mut Processor, is_there: impl Fn(&[i64]) -> bool) -> Result<Instant> {
        wait::until(LIMIT, "a commit", || {
            processor.child.ensure_running()?;
            Ok(is_there(&self.stores.committed(self.lab)?).then(Instant::now))
        })
    }
}

/// Whether any partition went on. One that was not there before counts from its start.
fn moved(before: &[i64], now: &[i64]) -> bool {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    now.iter().zip(before).any(|(now, before)| *now > before)
}
