//! The publishing loop: dirty symbols to the latest-state store, markers last, and the healing of what was lost there.
//!
//! The projection may be early, never wrong: values are functions of the log at their version, and versions never fall.
//! A failed publish is not tried again as it was; the partition is published whole as soon as the store answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::book::{Book, has_caught_up};
use super::flush::jittered;
use crate::crash_points::crash_point;
use crate::latest::{LatestError, LatestState, Publish};
use crate::partition::workers::Workers;
use crate::resilience::health::{Dependency, HealthBoard};
use crate::stores::ResultStore;
use crate::telemetry::Metrics;

/// Symbols in one call while a partition is published whole.
const CHUNK: usize = 500;
/// Between two chunks: half to all of this, so that healing does not starve the dirty symbols.
const CHUNK_PAUSE: Duration = Duration::from_millis(10);
/// The least time for each view that was sent before changed symbols are looked at again. A catch-up changes thousands of
/// symbols between two looks, and showing each of them every few milliseconds would cost more than reading the log does;
/// a live feed changes no symbol more often than it trades.
const TIME_PER_VIEW: Duration = Duration::from_micros(50);
/// How often markers and the live key are compared, also when idle.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Asks for a publish now; answered when it is done.
pub type PublishRequest = oneshot::Sender<()>;

/// Everything publishing needs.
pub struct Publisher {
    /// Pipeline uid.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// The workers.
    pub workers: Arc<Workers>,
    /// The latest-state store.
    pub latest: Arc<dyn LatestState>,
    /// The result store: says which revision is live.
    pub store: Arc<dyn ResultStore>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
}

impl Publisher {
    /// Publishes at every interval (later where many symbols changed) and on request, heals every second. Ends with the
    /// requests' channel.
    pub async fn run(self, interval: Duration, mut requests: mpsc::Receiver<PublishRequest>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut book = Book::default();
        loop {
            let mut request = None;
            tokio::select! {
                _ = ticks.tick() => {}
                _ = checks.tick() => self.check(&mut book).await,
                asked = requests.recv() => match asked {
                    Some(asked) => request = Some(asked),
                    None => return,
                },
            }
            let views = self.publish(&mut book).await;
            ticks.reset_after(interval.max(TIME_PER_VIEW * views));
            if let Some(request) = request {
                // A requester that ran out of time needs no answer.
                let _ = request.send(());
            }
        }
    }

    /// Publishes what changed and what is owed; gives the number of changed views.
    async fn publish(&self, book: &mut Book) -> u32 {
        let due = book.sort(self.workers.changed().await);
        let views = due.iter().map(|publish| publish.views.len()).sum::<usize>();
        if !due.is_empty() {
            match self.send(&due, views).await {
                Ok(behind) => self.note_behind(&book.worked(&due, &behind)),
                Err(_) => book.failed(&due),
            }
        }
        for partition in book.owed() {
            if !self.publish_whole(book, partition).await {
                break;
            }
        }
        u32::try_from(views).unwrap_or(u32::MAX)
    }

    fn note_behind(&self, behind: &[i32]) {
        if !behind.is_empty() {
            self.metrics.republished.inc_by(behind.len() as u64);
            info!(partitions = ?behind, "published state is behind; publishing it whole");
        }
    }

    /// Publishes everything of a partition, its marker with the last chunk; `false` where it must be tried again.
    async fn publish_whole(&self, book: &mut Book, partition: i32) -> bool {
        let Some(whole) = self.workers.everything(partition).await else {
            book.forget(partition);
            return true;
        };
        let (first, last) = chunked(whole);
        for chunk in first {
            if self.send(&[chunk], CHUNK).await.is_err() {
                return false;
            }
            tokio::time::sleep(jittered(CHUNK_PAUSE)).await;
        }
        let (views, last) = (last.views.len(), [last]);
        match self.send(&last, views).await {
            Ok(behind) => book.worked(&last, &behind).is_empty(),
            Err(_) => false,
        }
    }

    /// Sends publishes that hold so many views together.
    async fn send(&self, publishes: &[Publish], views: usize) -> Result<Vec<i32>, LatestError> {
        let started = Instant::now();
        crash_point!("publish.before");
        let answer = self.latest.publish(&self.revision, publishes).await;
        crash_point!("publish.after");
        self.note("publish", answer.as_ref().err());
        if answer.is_ok() {
            self.metrics.publish_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.publishes.inc();
            self.metrics.published_views.inc_by(views as u64);
        }
        answer
    }

    /// Compares markers and the live key with the truth.
    async fn check(&self, book: &mut Book) {
        crash_point!("markers.before");
        let markers = self.latest.markers(&self.revision).await;
        crash_point!("markers.after");
        self.note("markers", markers.as_ref().err());
        let Ok(markers) = markers else { return };
        self.note_behind(&book.compare(&markers));
        self.follow_live(&markers).await;
    }

    /// Points readers at the live revision of the result store, once nothing would step back.
    async fn follow_live(&self, own_markers: &BTreeMap<i32, i64>) {
        let live = self.store.live_revision(&self.pipeline).await;
        self.health
            .note(Dependency::Results, "live_revision", live.as_ref().err());
        let Ok(live) = live else { return };
        if live.is_none_or(|(revision, _)| revision != self.revision) {
            return;
        }
        let shown = match self.latest.live().await {
            Ok(shown) => shown,
            Err(error) => return self.note("live", Some(&error)),
        };
        if shown.as_deref() == Some(self.revision.as_str()) {
            return;
        }
        if let Some(old) = shown {
            match self.latest.markers(&old).await {
                Ok(old_markers) if !has_caught_up(own_markers, &old_markers) => return,
                Ok(_) => {}
                Err(error) => return self.note("markers", Some(&error)),
            }
        }
        crash_point!("live.before");
        let answer = self.latest.set_live(&self.revision).await;
        crash_point!("live.after");
        self.note("live", answer.as_ref().err());
        if answer.is_ok() {
            info!(revision = self.revision, "readers follow this revision");
        }
    }

    fn note(&self, call: &'static str, error: Option<&LatestError>) {
        self.health.note(Dependency::Latest, call, error);
        if let Some(error) = error {
            self.metrics.errors.with_label_values(&[call]).inc();
            warn!(call, %error, "latest-state store");
        }
    }
}

/// Chunks of a whole publish and the last one. The first chunks claim nothing (marker 0) but leave a trace, and the last
/// one moves the marker only where that trace is still there: a loss between two chunks repeats the whole pass.
fn chunked(whole: Publish) -> (Vec<Publish>, Publish) {
    let Publish {
        partition,
        marker,
        since,
        views,
    } = whole;
    let mut chunks: Vec<_> = views.chunks(CHUNK).map(<[_]>::to_vec).collect();
    let last = chunks.pop().unwrap_or_default();
    let since = if chunks.is_empty() { since } else { Some(0) };
    let first = chunks.into_iter().map(|views| Publish {
        partition,
        marker: 0,
        since: None,
        views,
    });
    (
        first.collect(),
        Publish {
            partition,
            marker,
            since,
            views: last,
        },
    )
}

#[cfg(test)]
mod tests {
    use assay_engine::SymbolView;

    use super::*;

    fn whole(symbols: usize) -> Publish {
        let view = |number| SymbolView {
            symbol: format!("SYM{number}"),
            version: 1,
            closed_version: 1,
            last: vec![],
            closed: Arc::default(),
        };
        Publish {
            partition: 3,
            marker: 40,
            since: None,
            views: (0..symbols).map(view).collect(),
        }
    }

    #[test]
    fn a_whole_publish_of_one_chunk_needs_no_trace() {
        for symbols in [0, 1, CHUNK] {
            let (first, last) = chunked(whole(symbols));
            assert!(first.is_empty());
            assert_eq!((last.since, last.marker, last.views.len()), (None, 40, symbols));
        }
    }

    #[test]
    fn only_the_last_of_several_chunks_moves_the_marker_and_only_behind_the_first() {
        let (first, last) = chunked(whole(2 * CHUNK + 1));
        assert!(
            first
                .iter()
                .all(|chunk| (chunk.marker, chunk.since, chunk.views.len()) == (0, None, CHUNK))
        );
        assert_eq!(
            (first.len(), last.since, last.marker, last.views.len()),
            (2, Some(0), 40, 1)
        );
    }
}
