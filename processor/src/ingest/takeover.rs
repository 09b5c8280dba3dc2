//! Step 1 of the protocol: bump the epoch, load snapshots, ask for the log's bounds, decide where to resume.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use assay_engine::Settings;
use tracing::info;

use super::log_client::LogClient;
use crate::crash_points::crash_point;
use crate::partition::{LogBounds, Recovered, Stop, recover};
use crate::resilience::health::{Dependency, HealthBoard};
use crate::resilience::{RetryPolicy, Transient};
use crate::stores::{Progress, ResultStore, Snapshot, StoreError};
use crate::telemetry::Metrics;

/// How a take-over failed.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// This partition cannot be worked on.
    #[error(transparent)]
    Stop(#[from] Stop),
    /// Something was away for longer than the bound.
    #[error("{0}")]
    Away(String),
}

/// Everything a take-over needs.
pub struct TakeOver {
    /// Pipeline uid.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// Settings of the engine.
    pub settings: Arc<Settings>,
    /// The result store.
    pub store: Arc<dyn ResultStore>,
    /// Knows the log's bounds.
    pub log: Arc<LogClient>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
    /// How each call is tried again.
    pub retry: RetryPolicy,
}

impl TakeOver {
    /// Takes a partition over.
    ///
    /// # Errors
    /// The partition must stop, or a dependency stayed away.
    pub async fn run(&self, partition: i32) -> Result<Recovered, TakeOverError> {
        let progress = self.bump(partition).await?;
        let snapshots = self.snapshots(&progress).await?;
        let bounds = self.bounds(partition).await?;
        info!(
            partition,
            epoch = progress.fence.epoch,
            next_offset = progress.next_offset,
            snapshots = snapshots.len(),
            log_start = bounds.start,
            log_end = bounds.end,
            "taken over"
        );
        let settings = Arc::clone(&self.settings);
        let recovered = tokio::task::spawn_blocking(move || recover(progress, &snapshots, bounds, &settings)).await;
        Ok(recovered.map_err(|error| TakeOverError::Away(error.to_string()))??)
    }

    async fn bump(&self, partition: i32) -> Result<Progress, TakeOverError> {
        let call = || async move {
            crash_point!("take_over.before");
            let answer = self
                .store
                .take_over(&self.pipeline, &self.revision, partition, rand::random())
                .await;
            crash_point!("take_over.after");
            self.note(Dependency::Results, "take_over", answer)
        };
        Ok(self.patiently("take_over", call).await?)
    }

    async fn snapshots(&self, progress: &Progress) -> Result<Vec<Snapshot>, TakeOverError> {
        let call = || async move {
            crash_point!("snapshots.load.before");
            let answer = self.store.snapshots(&progress.fence, progress.next_offset).await;
            crash_point!("snapshots.load.after");
            self.note(Dependency::Results, "snapshots", answer)
        };
        Ok(self.patiently("snapshots", call).await?)
    }

    async fn bounds(&self, partition: i32) -> Result<LogBounds, TakeOverError> {
        let call = || async move {
            let bounds = self.log.ask(move |log| log.bounds(&[partition])).await;
            self.note(Dependency::Kafka, "log_bounds", bounds)
        };
        let bounds = self.patiently("log_bounds", call).await;
        let bounds = bounds.map_err(|error| TakeOverError::Away(error.to_string()))?;
        let missing = || TakeOverError::Away(format!("Kafka gives no offsets of partition {partition}"));
        bounds.get(&partition).copied().ok_or_else(missing)
    }

    async fn patiently<T, E: Transient + Display, F: Future<Output = Result<T, E>>>(
        &self,
        call: &'static str,
        attempt: impl FnMut() -> F,
    ) -> Result<T, E> {
        let retries = AtomicU64::new(0);
        let answer = self.retry.run(call, &retries, attempt).await;
        self.metrics
            .retries
            .with_label_values(&[call])
            .inc_by(retries.into_inner());
        answer
    }

    fn note<T, E: Display + Transient>(
        &self,
        dependency: Dependency,
        call: &'static str,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        self.health.note(dependency, call, answer.as_ref().err());
        if answer.is_err() {
            self.metrics.errors.with_label_values(&[call]).inc();
        }
        answer
    }
}

impl From<StoreError> for TakeOverError {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            return Self::Away(error.to_string());
        }
        Self::Stop(Stop::StoreRefused(error.to_string()))
    }
}
