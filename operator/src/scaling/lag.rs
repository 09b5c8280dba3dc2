//! Lag of a partition = log end − max(committed progress, log start). What could not be read is unknown, which means hold; never zero.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::kafka::Bounds;
use crate::store::StoredProgress;

/// Records that wait, by partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lag {
    /// Known partitions.
    pub known: BTreeMap<i32, i64>,
    /// Partitions that could not be read.
    pub unknown: Vec<i32>,
}

impl Lag {
    /// Over all partitions; `None` where any is unknown.
    #[must_use]
    pub fn total(&self) -> Option<i64> {
        self.unknown.is_empty().then(|| self.known.values().sum())
    }

    /// Partitions with most records first, at most `most`.
    #[must_use]
    pub fn worst(&self, most: usize) -> Vec<(i32, i64)> {
        let mut worst: Vec<(i32, i64)> = self.known.iter().map(|(&partition, &lag)| (partition, lag)).collect();
        worst.sort_by_key(|&(partition, lag)| (std::cmp::Reverse(lag), partition));
        worst.truncate(most);
        worst
    }
}

/// Lag of every partition. Clamped on both sides: records that retention took do not wait, and progress read after the log's end
/// was read may be ahead of it.
#[must_use]
pub fn lag(partitions: i32, bounds: &Bounds, progress: &BTreeMap<i32, StoredProgress>) -> Lag {
    let mut lag = Lag::default();
    for partition in 0..partitions {
        match (bounds.get(&partition), progress.get(&partition)) {
            (Some(log), Some(row)) => {
                let waiting = log.end - row.next_offset.max(log.start);
                lag.known.insert(partition, waiting.max(0));
            }
            _ => lag.unknown.push(partition),
        }
    }
    lag
}

/// Sums at one moment, for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Sum of log ends.
    pub ends: i64,
    /// Sum of progress.
    pub progress: i64,
}

impl Sample {
    /// Sums where every partition is known.
    #[must_use]
    pub fn take(
        at: Instant,
        partitions: i32,
        bounds: &Bounds,
        progress: &BTreeMap<i32, StoredProgress>,
    ) -> Option<Self> {
        let ends: Option<i64> = (0..partitions).map(|p| bounds.get(&p).map(|log| log.end)).sum();
        let progress: Option<i64> = (0..partitions)
            .map(|p| progress.get(&p).map(|row| row.next_offset))
            .sum();
        Some(Self {
            at,
            ends: ends?,
            progress: progress?,
        })
    }
}

/// Records a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// That arrive.
    pub arrival: f64,
    /// That are processed.
    pub drain: f64,
}

/// Rates between two samples; `None` where they are too near, or where one went back (a recreated topic, another revision).
#[must_use]
pub fn rates(before: &Sample, now: &Sample) -> Option<Rates> {
    let seconds = now.at.checked_duration_since(before.at)?.as_secs_f64();
    let (arrived, drained) = (now.ends - before.ends, now.progress - before.progress);
    if seconds < 1.0 || arrived < 0 || drained < 0 {
        return None;
    }
    Some(Rates {
        arrival: per_second(arrived, seconds),
        drain: per_second(drained, seconds),
    })
}

/// Counts of records between two samples are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn per_second(records: i64, seconds: f64) -> f64 {
    records as f64 / seconds
}

/// How long a backlog takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TimeToDrain {
    /// Seconds.
    Seconds(f64),
    /// Arrivals are at least as fast.
    Never,
    /// Lag or rates are unknown.
    Unknown,
}

/// Backlog over the surplus of draining. A backlog below one second of draining is flow, not backlog.
#[must_use]
pub fn time_to_drain(total: Option<i64>, rates: Option<Rates>) -> TimeToDrain {
    match (total, rates) {
        (Some(0), _) => TimeToDrain::Seconds(0.0),
        (Some(total), Some(rates)) => {
            let backlog = per_second(total, 1.0);
            let surplus = rates.drain - rates.arrival;
            if backlog <= rates.drain {
                TimeToDrain::Seconds(backlog / rates.drain)
            } else if surplus > 0.0 {
                TimeToDrain::Seconds(backlog / surplus)
            } else {
                TimeToDrain::Never
            }
        }
        _ => TimeToDrain::Unknown,
    }
}

/// Time until retention deletes the oldest unread record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headroom {
    /// Milliseconds; zero where records are being lost.
    Millis(i64),
    /// The topic keeps records for ever.
    Unlimited,
    /// Not known.
    Unknown,
}

/// Retention less the age of the oldest unread record. That age is taken from the watermark, which no unread record is older than by
/// more than the lateness; where nothing waits, the whole retention is left.
#[must_use]
pub fn headroom(
    retention_ms: Option<i64>,
    now_ms: i64,
    lag: &Lag,
    progress: &BTreeMap<i32, StoredProgress>,
) -> Headroom {
    let Some(retention_ms) = retention_ms else {
        return Headroom::Unknown;
    };
    if retention_ms < 0 {
        return Headroom::Unlimited;
    }
    if !lag.unknown.is_empty() {
        return Headroom::Unknown;
    }
    let waiting = lag.known.iter().filter(|(_, records)| **records > 0);
    let ages: Option<Vec<i64>> = waiting
        .map(|(p, _)| Some(now_ms - progress.get(p)?.watermark_us? / 1000))
        .collect();
    match ages {
        Some(ages) => Headroom::Millis((retention_ms - ages.into_iter().max().unwrap_or(0).max(0)).max(0)),
        None => Headroom::Unknown,
    }
}

#[cfg(test)]
mod tests;
