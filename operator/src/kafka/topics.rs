//! Topics as many passes look at them: young answers are told again, and what is too old is asked for together, by one asker at a time.
//! Knows no client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

use super::handle::{KafkaError, TopicFound};

/// A topic with its settings; `None` where it does not exist.
pub(super) type Answer = Result<Option<TopicFound>, KafkaError>;

/// See the module.
pub(super) struct SharedTopics {
    /// How long what was found is believed. Silence and refusals are told only to those who waited meanwhile.
    age: Duration,
    topics: Mutex<BTreeMap<String, Topic>>,
    /// Held while topics are read together: whoever waited for it finds what the one before has read.
    turn: Turn<()>,
}

struct Topic {
    /// Since when somebody asks: what was read before that may be of an earlier topic.
    since: Instant,
    asked: Instant,
    read: Option<(Instant, Answer)>,
}

impl SharedTopics {
    pub(super) fn new(age: Duration) -> Self {
        Self {
            age,
            topics: Mutex::default(),
            turn: Turn::default(),
        }
    }

    /// What is known of a topic. `read` answers for all topics that it is given.
    pub(super) async fn get<R>(&self, name: &str, read: impl FnOnce(Vec<String>) -> R) -> Answer
    where
        R: Future<Output = BTreeMap<String, Answer>>,
    {
        let asked = self.ask(name);
        if let Some(answer) = self.fresh(name, asked) {
            return answer;
        }
        let _turn = self.turn.lock().await;
        if let Some(answer) = self.fresh(name, asked) {
            return answer;
        }
        // Somebody may have forgotten it while we waited.
        self.ask(name);
        let began = Instant::now();
        let mut answers = read(self.stale()).await;
        let own = answers.get(name).cloned();
        self.with(|topics| {
            for (name, topic) in topics.iter_mut().filter(|(_, topic)| topic.since <= began) {
                if let Some(answer) = answers.remove(name) {
                    topic.read = Some((Instant::now(), answer));
                }
            }
        });
        own.unwrap_or_else(|| Err(KafkaError::Internal(format!("no answer for topic {name}"))))
    }

    /// Has the topic be read anew when it is asked for next, because it was changed or must be seen as it is now.
    pub(super) fn forget(&self, name: &str) {
        self.with(|topics| topics.remove(name));
    }

    fn ask(&self, name: &str) -> Instant {
        let now = Instant::now();
        let new = Topic {
            since: now,
            asked: now,
            read: None,
        };
        self.with(|topics| topics.entry(name.to_owned()).or_insert(new).asked = now);
        now
    }

    /// An answer that is young enough for somebody who waits since `asked`.
    fn fresh(&self, name: &str, asked: Instant) -> Option<Answer> {
        self.with(|topics| {
            let (read, answer) = topics.get(name)?.read.as_ref()?;
            let is_fresh = *read >= asked || self.is_believed(*read, answer);
            is_fresh.then(|| answer.clone())
        })
    }

    fn is_believed(&self, read: Instant, answer: &Answer) -> bool {
        matches!(answer, Ok(Some(_))) && read.elapsed() < self.age
    }

    /// Topics that somebody asked about lately and whose answer is too old.
    fn stale(&self) -> Vec<String> {
        let is_stale = |topic: &Topic| {
            let read = topic.read.as_ref();
            read.is_none_or(|(read, answer)| !self.is_believed(*read, answer))
        };
        self.with(|topics| {
            topics.retain(|_, topic| topic.asked.elapsed() < super::pool::IDLE_LIMIT);
            let stale = topics.iter().filter(|(_, topic)| is_stale(topic));
            stale.map(|(name, _)| name.clone()).collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Topic>) -> T) -> T {
        act(&mut self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;

    use super::super::kafka_admin::TopicDescription;
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// The number of the read is the topic's id.
    async fn read(reads: &Cell<usize>, names: Vec<String>) -> BTreeMap<String, Answer> {
        reads.set(reads.get() + 1);
        let description = TopicDescription {
            id: reads.get().to_string(),
            partitions: 1,
            replication_factor: 1,
        };
        tokio::task::yield_now().await;
        let settings = Ok(BTreeMap::new());
        let found = TopicFound { description, settings };
        names.into_iter().map(|name| (name, Ok(Some(found.clone())))).collect()
    }

    async fn silence(reads: &Cell<usize>, names: Vec<String>) -> BTreeMap<String, Answer> {
        reads.set(reads.get() + 1);
        tokio::task::yield_now().await;
        let silence = KafkaError::Unreachable("timed out".into());
        names.into_iter().map(|name| (name, Err(silence.clone()))).collect()
    }

    fn id(answer: Answer) -> String {
        answer.unwrap().unwrap().description.id
    }

    #[tokio::test]
    async fn what_was_read_for_one_is_told_to_all() {
        let (topics, reads) = (SharedTopics::new(LONG), Cell::new(0));
        topics.ask("b");
        for name in ["a", "b", "a"] {
            assert_eq!(id(topics.get(name, |names| read(&reads, names)).await), "1");
        }
    }

    #[tokio::test]
    async fn a_topic_that_was_forgotten_is_read_anew() {
        let (topics, reads) = (SharedTopics::new(LONG), Cell::new(0));
        topics.get("a", |names| read(&reads, names)).await.unwrap();
        topics.forget("a");
        assert_eq!(id(topics.get("a", |names| read(&reads, names)).await), "2");
    }

    #[tokio::test]
    async fn what_was_on_its_way_when_the_topic_was_forgotten_is_not_kept() {
        let (topics, reads) = (SharedTopics::new(LONG), Cell::new(0));
        let changed_meanwhile = async |names| {
            topics.forget("a");
            topics.ask("a");
            read(&reads, names).await
        };
        topics.get("a", changed_meanwhile).await.unwrap();
        assert_eq!(id(topics.get("a", |names| read(&reads, names)).await), "2");
    }

    #[tokio::test]
    async fn silence_is_told_to_all_who_waited_and_to_nobody_after_them() {
        let (topics, reads) = (SharedTopics::new(LONG), Cell::new(0));
        let asked = (0..20).map(|_| topics.get("a", |names| silence(&reads, names)));
        assert!(join_all(asked).await.iter().all(Result::is_err));
        assert_eq!(reads.get(), 1);
        assert!(topics.get("a", |names| read(&reads, names)).await.is_ok());
    }
}
