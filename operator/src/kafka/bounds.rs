//! Log bounds that many pipelines share: young ones are told again, old ones are read together, by one reader at a time. Knows no client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

use super::handle::KafkaError;
use super::kafka_admin::TopicDescription;

/// Bounds younger than this are not asked for again.
const AGE: Duration = Duration::from_secs(5);
/// How long each topic is read apart from the others after a read of all of them has failed: librdkafka fails a whole question where
/// one of its topics was deleted lately.
const APART: Duration = Duration::from_secs(30);

/// First offset and end of one partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset that is still there.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
}

/// Bounds by partition; a partition that could not be read is not in the map.
pub type Bounds = BTreeMap<i32, LogBounds>;

/// See the module.
#[derive(Default)]
pub(super) struct SharedBounds {
    watched: Mutex<Watched>,
    /// Held while bounds are read together: whoever waited for it finds what the one before has read.
    turn: Turn<()>,
}

#[derive(Default)]
struct Watched {
    /// Topics that somebody asked about lately.
    topics: BTreeMap<String, Topic>,
    /// When a read of all of them failed last.
    failed: Option<Instant>,
}

struct Topic {
    /// Another id under the same name is another log.
    id: String,
    partitions: i32,
    asked: Instant,
    read: Option<(Instant, Bounds)>,
}

/// Ids and partitions of topics, by name.
type Asked = BTreeMap<String, (String, i32)>;

impl SharedBounds {
    /// Bounds of a topic, at most some seconds old. `read` reads all topics that it is given, by partitions.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get<R>(
        &self,
        topic: &str,
        description: &TopicDescription,
        read: impl Fn(BTreeMap<String, i32>) -> R,
    ) -> Result<Bounds, KafkaError>
    where
        R: Future<Output = Result<BTreeMap<String, Bounds>, KafkaError>>,
    {
        if let Some(fresh) = self.with(|watched| watched.watch(topic, description)) {
            return Ok(fresh);
        }
        if let Some(told) = self.read_together(topic, &read).await {
            return Ok(told);
        }
        let alone = self.with(|watched| watched.asked(|name| name == topic));
        self.read(alone, &read).await?;
        Ok(self.with(|watched| watched.fresh(topic)).unwrap_or_default())
    }

    /// The topic's bounds, after all that are too old were read, by this caller or the one before it; `None` where that fails.
    async fn read_together<R>(&self, topic: &str, read: &impl Fn(BTreeMap<String, i32>) -> R) -> Option<Bounds>
    where
        R: Future<Output = Result<BTreeMap<String, Bounds>, KafkaError>>,
    {
        let _turn = self.turn.lock().await;
        let (fresh, apart) = self.with(|watched| (watched.fresh(topic), watched.is_apart()));
        if fresh.is_some() || apart {
            return fresh;
        }
        let stale = self.with(Watched::stale);
        if self.read(stale, read).await.is_err() {
            self.with(|watched| watched.failed = Some(Instant::now()));
            return None;
        }
        Some(self.with(|watched| watched.fresh(topic)).unwrap_or_default())
    }

    async fn read<R>(&self, asked: Asked, read: &impl Fn(BTreeMap<String, i32>) -> R) -> Result<(), KafkaError>
    where
        R: Future<Output = Result<BTreeMap<String, Bounds>, KafkaError>>,
    {
        let partitions = asked.iter().map(|(name, (_, partitions))| (name.clone(), *partitions));
        let found = read(partitions.collect()).await?;
        self.with(|watched| watched.keep(&asked, found));
        Ok(())
    }

    /// Asks no more for a topic that is gone.
    pub(super) fn forget(&self, topic: &str) {
        self.with(|watched| watched.topics.remove(topic));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Watched) -> T) -> T {
        act(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watched {
    /// Notes that somebody asks; gives an answer that is young enough.
    fn watch(&mut self, name: &str, description: &TopicDescription) -> Option<Bounds> {
        let TopicDescription { id, partitions, .. } = description;
        let known = self
            .topics
            .remove(name)
            .filter(|known| known.id == *id && known.partitions == *partitions);
        let topic = Topic {
            id: id.clone(),
            partitions: *partitions,
            asked: Instant::now(),
            read: known.and_then(|known| known.read),
        };
        self.topics.insert(name.to_owned(), topic);
        self.fresh(name)
    }

    fn fresh(&self, name: &str) -> Option<Bounds> {
        let (read, bounds) = self.topics.get(name)?.read.as_ref()?;
        (read.elapsed() < AGE).then(|| bounds.clone())
    }

    fn is_apart(&self) -> bool {
        self.failed.is_some_and(|when| when.elapsed() < APART)
    }

    /// Topics whose bounds are too old.
    fn stale(&mut self) -> Asked {
        self.topics
            .retain(|_, topic| topic.asked.elapsed() < super::pool::IDLE_LIMIT);
        self.asked(|name| self.fresh(name).is_none())
    }

    fn asked(&self, which: impl Fn(&str) -> bool) -> Asked {
        let topics = self.topics.iter().filter(|(name, _)| which(name));
        topics
            .map(|(name, topic)| (name.clone(), (topic.id.clone(), topic.partitions)))
            .collect()
    }

    /// Keeps what was read, except of a topic that was made anew meanwhile.
    fn keep(&mut self, asked: &Asked, found: BTreeMap<String, Bounds>) {
        let now = Instant::now();
        for (name, bounds) in found {
            let topic = self.topics.get_mut(&name);
            let same = |topic: &&mut Topic| asked.get(&name).is_some_and(|(id, _)| *id == topic.id);
            if let Some(topic) = topic.filter(same) {
                topic.read = Some((now, bounds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures::future::join_all;

    use super::*;

    fn topic(id: &str) -> TopicDescription {
        TopicDescription {
            id: id.to_owned(),
            partitions: 1,
            replication_factor: 1,
        }
    }

    /// Answers with the number of the read as the log's end.
    async fn read(reads: &AtomicI64, asked: BTreeMap<String, i32>) -> Result<BTreeMap<String, Bounds>, KafkaError> {
        let end = reads.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::yield_now().await;
        let bounds = Bounds::from([(0, LogBounds { start: 0, end })]);
        Ok(asked.into_keys().map(|name| (name, bounds.clone())).collect())
    }

    fn end(bounds: &Bounds) -> Option<i64> {
        bounds.get(&0).map(|log| log.end)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_read() {
        let (shared, reads) = (SharedBounds::default(), AtomicI64::new(0));
        let topic = topic("1");
        let ask = || shared.get("a", &topic, |asked| read(&reads, asked));
        let answers = join_all((0..50).map(|_| ask())).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_ref().is_ok_and(|b| end(b) == Some(1)))
        );
        assert_eq!(reads.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_topic_made_anew_is_not_answered_from_the_log_before() {
        let (shared, reads) = (SharedBounds::default(), AtomicI64::new(0));
        let first = shared.get("a", &topic("1"), |asked| read(&reads, asked)).await;
        let second = shared.get("a", &topic("2"), |asked| read(&reads, asked)).await;
        assert_eq!((end(&first.unwrap()), end(&second.unwrap())), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn what_was_read_of_the_log_before_is_not_kept_for_the_one_after() {
        let (shared, reads) = (SharedBounds::default(), AtomicI64::new(0));
        let (before, after) = (topic("1"), topic("2"));
        let old = shared.get("a", &before, async |asked| {
            // While this read is under way, somebody sees the topic made anew.
            shared.with(|watched| watched.watch("a", &after));
            read(&reads, asked).await
        });
        assert_eq!(end(&old.await.unwrap()), None, "unknown, not the old log's");
        let new = shared.get("a", &after, |asked| read(&reads, asked)).await;
        assert_eq!(end(&new.unwrap()), Some(2));
    }

    #[tokio::test]
    async fn a_topic_that_spoils_the_question_for_all_spoils_only_its_own() {
        let (shared, reads) = (SharedBounds::default(), AtomicI64::new(0));
        let spoilt = async |asked: BTreeMap<String, i32>| {
            if asked.contains_key("deleted") {
                reads.fetch_add(1, Ordering::Relaxed);
                return Err(KafkaError::Unreachable("timed out".into()));
            }
            read(&reads, asked).await
        };
        let topic = topic("1");
        assert!(shared.get("deleted", &topic, spoilt).await.is_err());
        let others = [shared.get("a", &topic, spoilt), shared.get("b", &topic, spoilt)];
        assert!(join_all(others).await.iter().all(Result::is_ok));
        assert_eq!(reads.into_inner(), 4, "together, and then each one alone");
    }

    #[tokio::test]
    async fn a_topic_that_was_forgotten_is_not_asked_for() {
        let (shared, reads) = (SharedBounds::default(), AtomicI64::new(0));
        let asked_for = Mutex::new(Vec::new());
        let noting = async |asked: BTreeMap<String, i32>| {
            asked_for.lock().unwrap().extend(asked.keys().cloned());
            read(&reads, asked).await
        };
        shared.with(|watched| watched.watch("deleted", &topic("1")));
        shared.forget("deleted");
        shared.get("a", &topic("1"), noting).await.unwrap();
        assert_eq!(*asked_for.lock().unwrap(), ["a"]);
    }
}
