//! What benchmarks measure with: a process as the kernel sees it, a median with its range, the machine. Judges nothing.

use std::fmt;

use anyhow::{Context as _, Result};

/// Linux counts CPU time for user space in hundredths of a second, whatever its timer does.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds on the CPU since its start, user and system, all threads.
    pub cpu_s: f64,
    /// Resident memory, MiB.
    pub resident_mib: f64,
    /// Highest resident memory since its start, MiB.
    pub peak_mib: f64,
    /// Threads.
    pub threads: f64,
}

impl Usage {
    /// Of a process of this machine.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        // proc(5): utime and stime are fields 14 and 15. The name, field 2, may hold spaces and ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field - 3).context("a short stat line")?.parse()?) };
        Ok(Self {
            cpu_s: count(ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            resident_mib: count(status_field(&status, "VmRSS:")?) / 1024.0,
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

/// A count as a figure to calculate with.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "records, KiB, ticks and calls stay far below 2^52"
)]
pub fn count(number: u64) -> f64 {
    number as f64
}

/// A median with its range; shows as `median (least–most)` with the digits of the format's precision, two where it has none.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// Median; not a number where there was no value.
    pub median: f64,
    least: f64,
    most: f64,
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(values.len() / 2)),
            least: at(0),
            most: at(last),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// The machine in one line: its CPU, its cores, and how busy it is.
///
/// # Errors
/// `/proc` cannot be read.
pub fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown CPU");
    Ok(format!(
        "{model}, {cores} cores, shared with the servers; load {} at the end",
        load.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        let spread: Spread = [4.0, 1.0, 3.0, 10.0].into_iter().collect();
        assert_eq!(format!("{spread:.1}"), "3.5 (1.0–10.0)");
    }

    #[test]
    fn this_process_uses_memory_and_has_a_thread() -> Result<()> {
        let usage = Usage::of(std::process::id())?;
        assert!(usage.resident_mib > 0.0 && usage.peak_mib >= usage.resident_mib && usage.threads >= 1.0);
        Ok(())
    }
}
