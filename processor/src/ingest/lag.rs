//! How far the tables are behind the log, asked from Kafka at intervals for the partitions worked on here.
//!
//! Lag = log end − max(committed progress, log start). Unknown is unknown, never zero.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::log_client::{LogClient, LogError};
use crate::partition::LogBounds;
use crate::partition::workers::Workers;
use crate::resilience::health::{Dependency, HealthBoard};
use crate::telemetry::Metrics;

const EVERY: Duration = Duration::from_secs(5);
/// A commit shows that records can be read again where it comes this long after the denial: what was fetched before is done.
const READ_SINCE: Duration = Duration::from_secs(10);

/// The last bounds that Kafka told.
#[derive(Debug, Default)]
pub struct LagBoard(Mutex<BTreeMap<i32, LogBounds>>);

impl LagBoard {
    /// Lag of a partition with this progress, records; `None` = unknown.
    #[must_use]
    pub fn of(&self, partition: i32, committed: i64) -> Option<i64> {
        let bounds = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&partition)?;
        Some((bounds.end - committed.max(bounds.start)).max(0))
    }

    fn replace(&self, bounds: BTreeMap<i32, LogBounds>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }
}

/// Watches lag and, through it, whether Kafka answers.
pub struct LagWatch {
    /// Asks Kafka.
    pub log: Arc<LogClient>,
    /// Where the answer is kept.
    pub board: Arc<LagBoard>,
    /// The workers.
    pub workers: Arc<Workers>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
}

impl LagWatch {
    /// Watches until it is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut committed = BTreeMap::new();
        loop {
            ticks.tick().await;
            self.look(&mut committed).await;
        }
    }

    /// Of the partitions here. Without any, a question of its own tells whether Kafka answers.
    async fn bounds(&self) -> Result<BTreeMap<i32, LogBounds>, LogError> {
        let reports = self.workers.report().await;
        let partitions: Vec<i32> = reports.iter().map(|report| report.partition).collect();
        let question = move |log: &LogClient| match partitions.as_slice() {
            [] => log.partition_count().map(|_| BTreeMap::new()),
            here => log.bounds(here),
        };
        self.log.ask(question).await
    }

    /// `committed` is what the look before saw.
    async fn look(&self, committed: &mut BTreeMap<i32, i64>) {
        let bounds = self.bounds().await;
        self.health.note(Dependency::Kafka, "log_bounds", bounds.as_ref().err());
        self.board.replace(bounds.unwrap_or_default());
        // Asked again: a partition may have gone while Kafka was asked, and its gauges with it.
        for report in self.workers.report().await {
            let before = committed.insert(report.partition, report.committed);
            if before.is_some_and(|before| before < report.committed) {
                self.health.goes_on(Dependency::Source, READ_SINCE);
            }
            let label = report.partition.to_string();
            match self.board.of(report.partition, report.committed) {
                Some(lag) => self.metrics.lag_records.with_label_values(&[&label]).set(lag),
                // An error says that the gauge was never set.
                None => drop(self.metrics.lag_records.remove_label_values(&[&label])),
            }
            if let Some(watermark) = report.watermark_us {
                self.metrics
                    .watermark_seconds
                    .with_label_values(&[&label])
                    .set(watermark / 1_000_000);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_unknown_before_kafka_answers_and_never_negative() {
        let board = LagBoard::default();
        assert_eq!(board.of(0, 5), None);
        board.replace(BTreeMap::from([(0, LogBounds { start: 10, end: 30 })]));
        assert_eq!(board.of(0, 5), Some(20));
        assert_eq!(board.of(0, 25), Some(5));
        assert_eq!(board.of(0, 31), Some(0));
    }
}
