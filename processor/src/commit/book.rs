//! What is known to be published, what must go next, and when readers may follow: the decisions of the publishing loop.
//!
//! Pure: the loop performs what this says and hands the answers back, and so do the model tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::latest::Publish;
use crate::partition::actor::Changed;

/// What is known to be published.
#[derive(Debug, Default)]
pub struct Book {
    /// Marker of the last publish that worked, of partitions that are live here.
    published: BTreeMap<i32, i64>,
    /// Partitions to publish whole.
    owed: BTreeSet<i32>,
}

impl Book {
    /// Forgets what is no longer here, and takes out what must go now.
    pub fn sort(&mut self, changed: Vec<Changed>) -> Vec<Publish> {
        let here: BTreeSet<i32> = changed.iter().map(|changed| changed.publish.partition).collect();
        self.published.retain(|partition, _| here.contains(partition));
        self.owed.retain(|partition| here.contains(partition));
        let mut now = Vec::new();
        for Changed { publish, whole } in changed {
            if whole {
                self.owed.insert(publish.partition);
            } else if !self.owed.contains(&publish.partition) {
                now.extend(self.continued(publish));
            }
        }
        now
    }

    /// The publish as a continuation of the last one; nothing where it says nothing new.
    fn continued(&mut self, publish: Publish) -> Option<Publish> {
        let Some(&since) = self.published.get(&publish.partition) else {
            self.owed.insert(publish.partition);
            return None;
        };
        let is_news = since != publish.marker || !publish.views.is_empty();
        is_news.then_some(Publish {
            since: Some(since),
            ..publish
        })
    }

    /// Partitions to publish whole.
    #[must_use]
    pub fn owed(&self) -> Vec<i32> {
        self.owed.iter().copied().collect()
    }

    /// Takes a partition off the list that has nothing to publish here any more.
    pub fn forget(&mut self, partition: i32) {
        self.owed.remove(&partition);
    }

    /// Takes the answer to a publish: partitions `behind` lack something and are owed. Gives those.
    pub fn worked(&mut self, publishes: &[Publish], behind: &[i32]) -> Vec<i32> {
        for publish in publishes {
            self.owed.remove(&publish.partition);
            self.published.insert(publish.partition, publish.marker);
        }
        self.owed.extend(behind);
        behind.to_vec()
    }

    /// A publish that may not have happened is not tried again as it was: everything of it is owed.
    pub fn failed(&mut self, publishes: &[Publish]) {
        self.owed.extend(publishes.iter().map(|publish| publish.partition));
    }

    /// Partitions whose stored marker is missing or behind; they are owed from now on.
    pub fn compare(&mut self, markers: &BTreeMap<i32, i64>) -> Vec<i32> {
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

/// Whether `new` is nowhere behind `old`.
#[must_use]
pub fn has_caught_up(new: &BTreeMap<i32, i64>, old: &BTreeMap<i32, i64>) -> bool {
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
                since: None,
                views: vec![],
            },
            whole,
        }
    }

    fn markers(pairs: &[(i32, i64)]) -> BTreeMap<i32, i64> {
        pairs.iter().copied().collect()
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
        let mut book = Book {
            published: markers(&[(1, 10)]),
            ..Book::default()
        };
        let due = book.sort(vec![changed(1, 11, false)]);
        assert_eq!(
            due.iter()
                .map(|publish| (publish.partition, publish.since))
                .collect::<Vec<_>>(),
            [(1, Some(10))]
        );
        book.worked(&due, &[]);
        assert!(book.sort(vec![changed(1, 11, false)]).is_empty());
    }

    #[test]
    fn a_publish_behind_which_something_is_missing_is_owed_whole() {
        let mut book = Book {
            published: markers(&[(1, 10)]),
            ..Book::default()
        };
        let due = book.sort(vec![changed(1, 11, false)]);
        assert_eq!(book.worked(&due, &[1]), [1]);
        assert_eq!(book.owed(), [1]);
    }

    #[test]
    fn changes_that_continue_nothing_are_owed_whole() {
        let mut book = Book::default();
        assert!(book.sort(vec![changed(1, 11, false)]).is_empty());
        assert_eq!(book.owed(), [1]);
    }

    #[test]
    fn a_failed_publish_is_owed_whole() {
        let mut book = Book {
            published: markers(&[(1, 10)]),
            ..Book::default()
        };
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
        assert!(!book.owed.contains(&0) && book.published.is_empty());
    }

    #[test]
    fn readers_move_only_when_no_partition_would_step_back() {
        assert!(has_caught_up(&markers(&[(0, 5), (1, 5)]), &markers(&[(0, 5), (1, 4)])));
        assert!(!has_caught_up(&markers(&[(0, 5)]), &markers(&[(0, 5), (1, 4)])));
        assert!(!has_caught_up(&markers(&[(0, 3)]), &markers(&[(0, 5)])));
    }
}
