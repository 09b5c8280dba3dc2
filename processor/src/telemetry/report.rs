//! The status report: one line a person can read, at intervals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

use super::Metrics;
use crate::partition::workers::Workers;
use crate::resilience::health::{HealthBoard, Level, Pulse};

/// How often the report is written.
const EVERY: Duration = Duration::from_secs(30);

/// What the report looks at.
pub struct Reporter {
    /// The workers.
    pub workers: Arc<Workers>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
    /// Start of the process.
    pub pulse: Arc<Pulse>,
}

impl Reporter {
    /// Reports until it is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.tick().await;
        let mut before = self.metrics.records.get();
        loop {
            ticks.tick().await;
            let now = self.metrics.records.get();
            self.report(now - before).await;
            before = now;
        }
    }

    async fn report(&self, records: u64) {
        let (level, reasons) = self.health.judge(Instant::now());
        let partitions = self.workers.report().await;
        let rate = records / EVERY.as_secs();
        let metrics = &self.metrics;
        let mean_ms = mean(
            metrics.commit_seconds.get_sample_sum(),
            metrics.commit_seconds.get_sample_count(),
        ) * 1000.0;
        info!(
            health = level_text(level),
            ?reasons,
            partitions = partitions.len(),
            rate,
            processed = metrics.records.get(),
            replayed = metrics.replayed.get(),
            commits = metrics.commits.get(),
            fenced = metrics.fenced.get(),
            ambiguous = metrics.ambiguous.get(),
            uptime_s = self.pulse.uptime().as_secs(),
            "{}: {} partitions, {rate} records/s, {} commits of {mean_ms:.1} ms on average",
            level_text(level),
            partitions.len(),
            metrics.commits.get()
        );
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a mean for people; counts stay far below 2^52"
)]
fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// The level in upper case, as everywhere.
#[must_use]
pub fn level_text(level: Level) -> &'static str {
    match level {
        Level::Healthy => "HEALTHY",
        Level::Degraded => "DEGRADED",
        Level::Unhealthy => "UNHEALTHY",
    }
}
