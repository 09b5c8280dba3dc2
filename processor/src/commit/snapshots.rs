//! Writes snapshots beside everything else: encoded on a thread of its own, saved as a fenced statement of its own.
//!
//! A snapshot that cannot be written costs a longer replay and nothing else: it is told and dropped.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::crash_points::crash_point;
use crate::partition::SnapshotImage;
use crate::stores::{ResultStore, Snapshot};
use crate::telemetry::Metrics;

/// Writes one snapshot at a time.
#[derive(Clone)]
pub struct SnapshotWriter {
    store: Arc<dyn ResultStore>,
    metrics: Arc<Metrics>,
    one_at_a_time: Arc<Semaphore>,
}

impl SnapshotWriter {
    /// A writer to a store.
    #[must_use]
    pub fn new(store: Arc<dyn ResultStore>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }
    }

    /// Whether nothing is being written: an image waiting for its turn would grow old and hold memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.one_at_a_time.available_permits() > 0
    }

    /// Writes in the background.
    pub fn write_later(&self, image: SnapshotImage) {
        let writer = self.clone();
        tokio::spawn(async move { writer.write(image).await });
    }

    /// Writes and says in the log what came of it.
    pub async fn write(&self, image: SnapshotImage) {
        // The semaphore is never closed; without a permit two snapshots would be encoded at once, nothing worse.
        let _permit = self.one_at_a_time.acquire().await;
        let (partition, at_offset) = (image.fence.partition, image.at_offset);
        match self.try_write(image).await {
            Ok(true) => {
                self.metrics.snapshots.inc();
                debug!(partition, at_offset, "snapshot written");
            }
            Ok(false) => debug!(partition, at_offset, "snapshot refused: another owner took over"),
            Err(error) => {
                self.metrics.errors.with_label_values(&["snapshot"]).inc();
                warn!(
                    partition,
                    at_offset, error, "snapshot not written; recovery replays from an older one"
                );
            }
        }
    }

    async fn try_write(&self, image: SnapshotImage) -> Result<bool, String> {
        let fence = image.fence.clone();
        let snapshot = tokio::task::spawn_blocking(move || encode(&image))
            .await
            .map_err(|error| error.to_string())??;
        crash_point!("snapshot.save.before");
        let saved = self.store.save_snapshot(&fence, &snapshot).await;
        crash_point!("snapshot.save.after");
        saved.map_err(|error| error.to_string())
    }
}

fn encode(image: &SnapshotImage) -> Result<Snapshot, String> {
    crash_point!("snapshot.encode");
    image.encode().map_err(|error| error.to_string())
}
