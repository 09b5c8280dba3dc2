//! The publishing loop: dirty symbols to the latest-state store, markers last, and the healing of what was lost there.
//!
//! The projection may be early, never wrong: values are functions of the log at their version, and versions never fall.
//! A failed publish is not tried again as it was; the partition is published whole as soon as the store answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::flush::jittered;
use crate::crash_points::crash_point;
use crate::latest::{LatestError, LatestState, Publish};
use crate::partition::actor::Changed;
use crate::partition::workers::Workers;
use crate::resilience::health::{Dependency, HealthBoard};
use crate::stores::ResultStore;
use crate::telemetry::Metrics;

/// Symbols in one call while a partition is published whole.
const CHUNK: usize = 500;
/// Between two chunks: half to all of this, so that healing does not starve the dirty symbols.
const CHUNK_PAUSE: Duration = Duration::from_millis(10);
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

/// What is known to be published.
#[derive(Debug, Default)]
struct Book {
    /// Marker of the last publish that worked, of partitions that are live here.
    published: BTreeMap<i32, i64>,
    /// Partitions to publish whole.
    owed: BTreeSet<i32>,
}

impl Book {
    /// Forgets what is no longer here, and takes out what must go now.
    fn sort(&mut self, changed: Vec<Changed>) -> Vec<Publish> {
        let here: BTreeSet<i32> = changed.iter().map(|changed| changed.publish.partition).collect();
        self.published.retain(|partition, _| here.contains(partition));
        self.owed.retain(|partition| here.contains(partition));
        let mut now = Vec::new();
        for Changed { publish, whole } in changed {
            if whole {
                self.owed.insert(publish.partition);
            } else if !self.owed.contains(&publish.partition) && self.is_news(&publish) {
                now.push(publish);
            }
        }
        now
    }

    fn is_news(&self, publish: &Publish) -> bool {
        self.published.get(&publish.partition) != Some(&publish.marker) || !publish.views.is_empty()
    }

    fn worked(&mut self, publishes: &[Publish]) {
        self.published
            .extend(publishes.iter().map(|publish| (publish.partition, publish.marker)));
    }

    fn failed(&mut self, publishes: &[Publish]) {
        self.owed.extend(publishes.iter().map(|publish| publish.partition));
    }

    /// Partitions whose stored marker is missing or behind; they are owed from now on.
    fn compare(&mut self, markers: &BTreeMap<i32, i64>) -> Vec<i32> {
        let behind = |(partition, marker): &(&i32, &i64)| markers.get(partition).is_none_or(|stored| stored < marker);
        let behind: Vec<i32> = self
            .published
            .iter()
            .filter(behind)
            .map(|(partition, _)| *partition)
            .collect();
        self.owed.extend(&behind);
        behind
    }
}

impl Publisher {
    /// Publishes at every interval and on request, heals every second. Ends with the requests' channel.
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
            self.publish(&mut book).await;
            if let Some(request) = request {
                // A requester that ran out of time needs no answer.
                let _ = request.send(());
            }
        }
    }

    async fn publish(&self, book: &mut Book) {
        let due = book.sort(self.workers.changed().await);
        if !due.is_empty() {
            match self.send(&due).await {
                Ok(()) => book.worked(&due),
                Err(_) => book.failed(&due),
            }
        }
        for partition in book.owed.clone() {
            if !self.publish_whole(book, partition).await {
                return;
            }
        }
    }

    /// Publishes everything of a partition, its marker with the last chunk; `false` where the store is away.
    async fn publish_whole(&self, book: &mut Book, partition: i32) -> bool {
        let Some(Publish { marker, views, .. }) = self.workers.everything(partition).await else {
            book.owed.remove(&partition);
            return true;
        };
        let mut chunks: Vec<_> = views.chunks(CHUNK).map(<[_]>::to_vec).collect();
        let last = Publish {
            partition,
            marker,
            views: chunks.pop().unwrap_or_default(),
        };
        for views in chunks {
            // Below 0 nothing has to be published, so this marker claims nothing yet.
            if self
                .send(&[Publish {
                    partition,
                    marker: 0,
                    views,
                }])
                .await
                .is_err()
            {
                return false;
            }
            tokio::time::sleep(jittered(CHUNK_PAUSE)).await;
        }
        let last = [last];
        if self.send(&last).await.is_err() {
            return false;
        }
        book.owed.remove(&partition);
        book.worked(&last);
        true
    }

    async fn send(&self, publishes: &[Publish]) -> Result<(), LatestError> {
        let started = Instant::now();
        crash_point!("publish.before");
        let answer = self.latest.publish(&self.revision, publishes).await;
        crash_point!("publish.after");
        self.note("publish", answer.as_ref().err());
        if answer.is_ok() {
            self.metrics.publish_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.publishes.inc();
            self.metrics
                .published_views
                .inc_by(publishes.iter().map(|publish| publish.views.len() as u64).sum());
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
        let behind = book.compare(&markers);
        if !behind.is_empty() {
            self.metrics.republished.inc_by(behind.len() as u64);
            info!(partitions = ?behind, "published state is behind; publishing it whole");
        }
        self.follow_live(&markers).await;
    }

    /// Points readers at the live revision of the result store, once nothing would step back.
    async fn follow_live(&self, own_markers: &BTreeMap<i32, i64>) {
        let live = match self.store.live_revision(&self.pipeline).await {
            Ok(live) => live,
            Err(error) => return self.health.fails(Dependency::Results, &error),
        };
        self.health.works(Dependency::Results);
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
        let Some(error) = error else {
            return self.health.works(Dependency::Latest);
        };
        self.metrics.errors.with_label_values(&[call]).inc();
        warn!(call, %error, "latest-state store");
        self.health.fails(Dependency::Latest, error);
    }
}

/// Whether `new` is nowhere behind `old`.
fn has_caught_up(new: &BTreeMap<i32, i64>, old: &BTreeMap<i32, i64>) -> bool {
    old.iter()
        .all(|(partition, marker)| new.get(partition).is_some_and(|own| own >= marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(partition: i32, marker: i64, whole: bool) -> Changed {
        Changed {
            publish: Publish {
                partition,
                marker,
                views: vec![],
            },
            whole,
        }
    }

    fn markers(pairs: &[(i32, i64)]) -> BTreeMap<i32, i64> {
        pairs.iter().copied().collect()
    }

    fn numbers(publishes: &[Publish]) -> Vec<i32> {
        publishes.iter().map(|publish| publish.partition).collect()
    }

    #[test]
    fn a_partition_is_published_whole_before_its_changes_are() {
        let mut book = Book::default();
        assert!(book.sort(vec![changed(1, 10, true)]).is_empty());
        assert!(book.sort(vec![changed(1, 11, false)]).is_empty());
        assert_eq!(book.owed, BTreeSet::from([1]));
    }

    #[test]
    fn an_idle_partition_is_not_published_again() {
        let mut book = Book::default();
        let due = book.sort(vec![changed(1, 11, false)]);
        assert_eq!(numbers(&due), [1]);
        book.worked(&due);
        assert!(book.sort(vec![changed(1, 11, false)]).is_empty());
    }

    #[test]
    fn a_failed_publish_is_owed_whole() {
        let mut book = Book::default();
        let due = book.sort(vec![changed(1, 11, false)]);
        book.failed(&due);
        assert_eq!(book.owed, BTreeSet::from([1]));
    }

    #[test]
    fn a_marker_that_is_missing_or_behind_is_healed_and_one_ahead_is_left_alone() {
        let mut book = Book {
            published: markers(&[(0, 10), (1, 10), (2, 10), (3, 10)]),
            ..Book::default()
        };
        assert_eq!(book.compare(&markers(&[(0, 10), (1, 9), (3, 11)])), [1, 2]);
    }

    #[test]
    fn a_partition_that_left_is_forgotten() {
        let mut book = Book {
            published: markers(&[(0, 10)]),
            owed: BTreeSet::from([0]),
        };
        book.sort(vec![changed(1, 1, false)]);
        assert!(book.owed.is_empty() && book.published.is_empty());
    }

    #[test]
    fn readers_move_only_when_no_partition_would_step_back() {
        assert!(has_caught_up(&markers(&[(0, 5), (1, 5)]), &markers(&[(0, 5), (1, 4)])));
        assert!(!has_caught_up(&markers(&[(0, 5)]), &markers(&[(0, 5), (1, 4)])));
        assert!(!has_caught_up(&markers(&[(0, 3)]), &markers(&[(0, 5)])));
    }
}
