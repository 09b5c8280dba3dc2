//! A child process as the kernel sees it: seconds on the CPU, peak memory, threads.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use assay_tests::measure::{Usage, count};
use assay_tests::{Process, wait};

const START_LIMIT: Duration = Duration::from_mins(1);
const END_LIMIT: Duration = Duration::from_mins(5);

/// What a child needed from its first fetch to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Records.
    pub(crate) records: f64,
    /// Seconds on the CPU, user and system, all threads.
    pub(crate) cpu_s: f64,
    /// Seconds.
    pub(crate) wall_s: f64,
    /// Highest resident memory since its start, MiB.
    pub(crate) peak_mib: f64,
    /// Threads at the end.
    pub(crate) threads: f64,
}

impl Measured {
    /// CPU seconds per million records.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu_s / self.records * 1e6
    }

    /// Thousand records a second.
    pub(crate) fn rate(&self) -> f64 {
        self.records / self.wall_s / 1e3
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} CPU-s/M, {:.0} k/s, {:.0} MiB, {} threads",
            self.cpu_per_million(),
            self.rate(),
            self.peak_mib,
            self.threads
        )
    }
}

/// The word that floors and processor log at their first fetch.
pub(crate) const FETCHING: &str = "fetching";

/// Measures from the mark in the child's log until `at_end`. The empty mark is there at once.
///
/// # Errors
/// The child ends by itself, or does not arrive in time.
pub(crate) fn measure(
    child: &mut Process,
    records: usize,
    mark: &str,
    mut at_end: impl FnMut(&Process) -> Result<bool>,
) -> Result<Measured> {
    wait_for_mark(child, mark, START_LIMIT)?;
    let (started, before) = (Instant::now(), Usage::of(child.id())?);
    wait::until(END_LIMIT, "the end of the log", || {
        child.ensure_running()?;
        Ok(at_end(child)?.then_some(()))
    })?;
    let (wall_s, after) = (started.elapsed().as_secs_f64(), Usage::of(child.id())?);
    Ok(Measured {
        records: count(records as u64),
        cpu_s: after.cpu_s - before.cpu_s,
        wall_s,
        peak_mib: after.peak_mib,
        threads: after.threads,
    })
}

/// Waits until the child's log holds a word; gives when that was seen, at most 20 ms late.
///
/// # Errors
/// The child ends by itself, or does not say it in time.
pub(crate) fn wait_for_mark(child: &mut Process, mark: &str, limit: Duration) -> Result<Instant> {
    wait::until(limit, &format!("{mark:?} in the log of a child"), || {
        child.ensure_running()?;
        Ok(child.log()?.contains(mark).then(Instant::now))
    })
}
