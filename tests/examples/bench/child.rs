//! A child process as the kernel sees it: seconds on the CPU, peak memory, threads.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use assay_tests::{Process, wait};

/// Linux counts CPU time for user space in hundredths of a second, whatever its timer does.
const TICKS_PER_SECOND: f64 = 100.0;
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

/// Measures from the line that says `fetching` in the child's log until `at_end`.
///
/// # Errors
/// The child ends by itself, or does not arrive in time.
pub(crate) fn measure(
    child: &mut Process,
    records: usize,
    mut at_end: impl FnMut(&Process) -> Result<bool>,
) -> Result<Measured> {
    wait::until(START_LIMIT, "the first fetch", || {
        child.ensure_running()?;
        Ok(child.log()?.contains("fetching").then_some(()))
    })?;
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

#[allow(clippy::cast_precision_loss, reason = "records, KiB and ticks stay far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

struct Usage {
    cpu_s: f64,
    peak_mib: f64,
    threads: f64,
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        // proc(5): utime and stime are fields 14 and 15. The name, field 2, may hold spaces and ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field - 3).context("a short stat line")?.parse()?) };
        Ok(Self {
            cpu_s: count(ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            peak_mib: count(status_field(&status, "VmHWM:")?) / 1024.0,
            threads: count(status_field(&status, "Threads:")?),
        })
    }
}

fn status_field(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name} in the status"))?.parse()?)
}
