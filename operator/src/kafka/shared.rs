//! Answers that many passes share: young ones are told again, and what is too old is asked for together, by one asker at a time. Knows no
//! client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

use super::error::KafkaError;

/// What was found; `None` where there is nothing.
pub(super) type Answer<V> = Result<Option<V>, KafkaError>;

/// See the module.
pub(super) struct Shared<K, V> {
    /// How long what was found is believed. Everything else is told only to those who waited meanwhile.
    age: Duration,
    entries: Mutex<BTreeMap<K, Entry<V>>>,
    /// Held while many are read together: whoever waited for it finds what the one before has read.
    turn: Turn<()>,
}

struct Entry<V> {
    /// Since when somebody asks: what was read before that may be of an earlier thing of the same name.
    since: Instant,
    asked: Instant,
    read: Option<(Instant, Answer<V>)>,
}

impl<K: Ord + Clone, V: Clone> Shared<K, V> {
    pub(super) fn new(age: Duration) -> Self {
        Self {
            age,
            entries: Mutex::default(),
            turn: Turn::default(),
        }
    }

    /// What is known of `key`. `read` answers for all that it is given.
    ///
    /// What failed is asked for alone until it is answered: librdkafka fails a whole question where one of its topics was deleted
    /// lately. Only silence is not asked again at once, because it would cost the same seconds once more.
    pub(super) async fn get<R>(&self, key: &K, read: impl Fn(Vec<K>) -> R) -> Answer<V>
    where
        R: Future<Output = BTreeMap<K, Answer<V>>>,
    {
        let asked = self.with(|entries| ask(entries, key));
        if let Some(answer) = self.fresh(key, asked) {
            return answer;
        }
        if !self.with(|entries| entries.get(key).is_some_and(Entry::has_failed)) {
            match self.get_together(key, asked, &read).await {
                Err(error) if !error.is_silence() => {}
                answer => return answer,
            }
        }
        self.read(key, vec![key.clone()], &read).await
    }

    async fn get_together<R>(&self, key: &K, asked: Instant, read: &impl Fn(Vec<K>) -> R) -> Answer<V>
    where
        R: Future<Output = BTreeMap<K, Answer<V>>>,
    {
        let _turn = self.turn.lock().await;
        if let Some(answer) = self.fresh(key, asked) {
            return answer;
        }
        self.read(key, self.due_with(key), read).await
    }

    /// Has everything that `which` names be read anew when it is asked for next, because it was changed, is gone or must be seen as it
    /// is now.
    pub(super) fn forget(&self, which: impl Fn(&K) -> bool) {
        self.with(|entries| entries.retain(|key, _| !which(key)));
    }

    async fn read<R>(&self, key: &K, keys: Vec<K>, read: &impl Fn(Vec<K>) -> R) -> Answer<V>
    where
        R: Future<Output = BTreeMap<K, Answer<V>>>,
    {
        let began = Instant::now();
        let mut answers = read(keys).await;
        let own = answers.get(key).cloned();
        self.with(|entries| {
            for (key, entry) in entries.iter_mut().filter(|(_, entry)| entry.since <= began) {
                if let Some(answer) = answers.remove(key) {
                    entry.read = Some((Instant::now(), answer));
                }
            }
        });
        own.unwrap_or_else(|| Err(KafkaError::Internal("no answer to a question".to_owned())))
    }

    /// An answer that is young enough for somebody who waits since `asked`.
    fn fresh(&self, key: &K, asked: Instant) -> Option<Answer<V>> {
        self.with(|entries| {
            let entry = entries.get(key)?;
            let (read, answer) = entry.read.as_ref()?;
            (*read >= asked || entry.is_believed(self.age)).then(|| answer.clone())
        })
    }

    /// `key`, and what else somebody asked about lately and has an answer that is too old.
    fn due_with(&self, key: &K) -> Vec<K> {
        self.with(|entries| {
            // Somebody may have forgotten it while we waited.
            ask(entries, key);
            entries.retain(|_, entry| entry.asked.elapsed() < super::pool::IDLE_LIMIT);
            let is_due =
                |other: &K, entry: &Entry<V>| other == key || !(entry.is_believed(self.age) || entry.has_failed());
            let due = entries.iter().filter(|(other, entry)| is_due(other, entry));
            due.map(|(key, _)| key.clone()).collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<K, Entry<V>>) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes that somebody asks now.
fn ask<K: Ord + Clone, V>(entries: &mut BTreeMap<K, Entry<V>>, key: &K) -> Instant {
    let now = Instant::now();
    let new = Entry {
        since: now,
        asked: now,
        read: None,
    };
    entries.entry(key.clone()).or_insert(new).asked = now;
    now
}

impl<V> Entry<V> {
    fn is_believed(&self, age: Duration) -> bool {
        matches!(&self.read, Some((read, Ok(Some(_)))) if read.elapsed() < age)
    }

    fn has_failed(&self) -> bool {
        matches!(self.read, Some((_, Err(_))))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use futures::future::join_all;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    type Numbers = Shared<&'static str, usize>;
    type Answers = BTreeMap<&'static str, Answer<usize>>;

    /// Answers each question with the number of the read.
    async fn read(reads: &Cell<usize>, keys: Vec<&'static str>) -> Answers {
        reads.set(reads.get() + 1);
        let number = reads.get();
        tokio::task::yield_now().await;
        keys.into_iter().map(|key| (key, Ok(Some(number)))).collect()
    }

    fn refused() -> Answer<usize> {
        Err(KafkaError::Refused("unknown topic".into()))
    }

    async fn silence(reads: &Cell<usize>, keys: Vec<&'static str>) -> Answers {
        let mut answers = read(reads, keys).await;
        for answer in answers.values_mut() {
            *answer = Err(KafkaError::Unreachable("timed out".into()));
        }
        answers
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_read() {
        let (numbers, reads) = (Numbers::new(LONG), Cell::new(0));
        let asked = (0..50).map(|_| numbers.get(&"a", |keys| read(&reads, keys)));
        assert!(join_all(asked).await.iter().all(|answer| *answer == Ok(Some(1))));
        assert_eq!(reads.get(), 1);
    }

    #[tokio::test]
    async fn what_was_read_for_one_is_told_to_all() {
        let (numbers, reads) = (Numbers::new(LONG), Cell::new(0));
        numbers.with(|entries| ask(entries, &"b"));
        for key in ["a", "b", "a"] {
            assert_eq!(numbers.get(&key, |keys| read(&reads, keys)).await, Ok(Some(1)));
        }
    }

    #[tokio::test]
    async fn what_was_forgotten_is_read_anew_when_it_is_asked_for() {
        let (numbers, reads) = (Numbers::new(Duration::ZERO), Cell::new(0));
        numbers.get(&"a", |keys| read(&reads, keys)).await.unwrap();
        numbers.forget(|key| *key == "a");
        let asked = RefCell::default();
        let noting = async |keys: Vec<&'static str>| {
            asked.replace(keys.clone());
            read(&reads, keys).await
        };
        assert_eq!(numbers.get(&"b", noting).await, Ok(Some(2)));
        assert_eq!(*asked.borrow(), ["b"]);
        assert_eq!(numbers.get(&"a", noting).await, Ok(Some(3)));
    }

    #[tokio::test]
    async fn what_was_on_its_way_when_it_was_forgotten_is_not_kept() {
        let (numbers, reads) = (Numbers::new(LONG), Cell::new(0));
        let changed_meanwhile = async |keys| {
            numbers.forget(|key| *key == "a");
            numbers.with(|entries| ask(entries, &"a"));
            read(&reads, keys).await
        };
        numbers.get(&"a", changed_meanwhile).await.unwrap();
        assert_eq!(numbers.get(&"a", |keys| read(&reads, keys)).await, Ok(Some(2)));
    }

    #[tokio::test]
    async fn silence_is_told_to_all_who_waited_and_to_nobody_after_them() {
        let (numbers, reads) = (Numbers::new(LONG), Cell::new(0));
        let asked = (0..20).map(|_| numbers.get(&"a", |keys| silence(&reads, keys)));
        assert!(join_all(asked).await.iter().all(Result::is_err));
        assert_eq!(reads.get(), 1);
        assert!(numbers.get(&"a", |keys| read(&reads, keys)).await.is_ok());
    }

    #[tokio::test]
    async fn what_spoils_the_question_for_all_is_asked_for_alone() {
        let (numbers, asked) = (Numbers::new(Duration::ZERO), RefCell::new(Vec::new()));
        let spoilt = async |keys: Vec<&'static str>| {
            asked.borrow_mut().push(keys.clone());
            let mut answers = read(&Cell::new(0), keys).await;
            if answers.contains_key("deleted") {
                for answer in answers.values_mut() {
                    *answer = refused();
                }
            }
            answers
        };
        for key in ["a", "b", "deleted"] {
            numbers.with(|entries| ask(entries, &key));
        }
        for _ in 0..2 {
            for (key, answers) in [("a", true), ("b", true), ("deleted", false)] {
                assert_eq!(numbers.get(&key, spoilt).await.is_ok(), answers, "{key}");
            }
        }
        let first = [vec!["a", "b", "deleted"], vec!["a"], vec!["b"], vec!["deleted"]];
        let second = [vec!["a", "b"], vec!["a", "b"], vec!["deleted"]];
        assert_eq!(*asked.borrow(), [first.as_slice(), &second].concat());
    }
}
