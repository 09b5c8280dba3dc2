//! HEALTHY, DEGRADED or UNHEALTHY, with reasons a person can act on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Transient;
use crate::partition::Stop;

/// A dependency that is away for longer makes the process UNHEALTHY instead of DEGRADED.
const UNHEALTHY_AFTER: Duration = Duration::from_mins(1);
/// A call that failed and was not tried again for longer was given up: it says nothing about a dependency that answers others. Longer
/// than the time limit of a call and the longest pause between two tries together.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);
/// A poll thread without a lap for longer is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The state as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Everything works.
    Healthy,
    /// Something is away and work will be caught up.
    Degraded,
    /// Somebody should look.
    Unhealthy,
}

/// What a processor depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// The source topic's brokers.
    Kafka,
    /// The right to be in the consumer group.
    Group,
    /// The right to read the source topic.
    Source,
    /// The result store.
    Results,
    /// The latest-state store.
    Latest,
}

impl fmt::Display for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kafka => "Kafka",
            Self::Group => "the consumer group",
            Self::Source => "the source topic",
            Self::Results => "the result store",
            Self::Latest => "the latest-state store",
        })
    }
}

/// A call that does not work.
#[derive(Debug)]
struct Outage {
    since: Instant,
    last: Instant,
    cause: String,
}

#[derive(Debug, Default)]
struct Facts {
    outages: BTreeMap<(Dependency, &'static str), Outage>,
    stopped: BTreeMap<i32, Stop>,
    reached: BTreeMap<Dependency, bool>,
    joined: bool,
}

impl Facts {
    /// Of each dependency the outage that began first: one that is away fails in every call.
    fn longest_outages(&self) -> BTreeMap<Dependency, &Outage> {
        let mut longest = BTreeMap::new();
        for ((dependency, _), outage) in &self.outages {
            let found = longest.entry(*dependency).or_insert(outage);
            if outage.since < found.since {
                *found = outage;
            }
        }
        longest
    }
}

/// Where every part of the process says how it fares.
#[derive(Debug, Default)]
pub struct HealthBoard(Mutex<Facts>);

impl HealthBoard {
    /// A call worked or failed. What an open circuit answered says nothing: the failures before it were noted.
    pub fn note<E: fmt::Display + Transient>(&self, dependency: Dependency, call: &'static str, error: Option<&E>) {
        match error {
            None => self.works(dependency, call),
            Some(error) if error.was_asked() => self.fails(dependency, call, error),
            Some(_) => {}
        }
    }

    /// A call worked. It says nothing of another call that goes on failing: a store may answer reads and refuse every write.
    pub fn works(&self, dependency: Dependency, call: &'static str) {
        self.worked_at(dependency, call, Instant::now());
    }

    fn worked_at(&self, dependency: Dependency, call: &'static str, now: Instant) {
        self.with(|facts| {
            let is_over = |(of, failing): &(Dependency, &'static str), outage: &Outage| {
                let given_up = now.saturating_duration_since(outage.last) >= GIVEN_UP_AFTER;
                *of == dependency && (*failing == call || given_up)
            };
            facts.outages.retain(|which, outage| !is_over(which, outage));
            facts.reached.insert(dependency, true);
        });
    }

    /// Work went on; ends an outage that has lasted long enough for what was under way at its start to be done.
    pub fn goes_on(&self, dependency: Dependency, long_enough: Duration) {
        self.with(|facts| {
            facts
                .outages
                .retain(|(of, _), outage| *of != dependency || outage.since.elapsed() < long_enough);
        });
    }

    /// A call failed; the first failure of a row starts the clock, the last one says why.
    pub fn fails(&self, dependency: Dependency, call: &'static str, cause: &impl fmt::Display) {
        let (now, cause) = (Instant::now(), cause.to_string());
        self.with(|facts| {
            let outage = facts.outages.entry((dependency, call));
            let since = match &outage {
                Entry::Occupied(known) => known.get().since,
                Entry::Vacant(_) => now,
            };
            outage.insert_entry(Outage {
                since,
                last: now,
                cause,
            });
        });
    }

    /// A partition stopped for good.
    pub fn stopped(&self, partition: i32, stop: Stop) {
        self.with(|facts| drop(facts.stopped.insert(partition, stop)));
    }

    /// A stopped partition went elsewhere.
    pub fn gone(&self, partition: i32) {
        self.with(|facts| drop(facts.stopped.remove(&partition)));
    }

    /// The group answered for the first time.
    pub fn joined(&self) {
        self.with(|facts| facts.joined = true);
    }

    /// Whether the group was joined and both stores were reached once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.with(|facts| {
            let reached = |dependency| facts.reached.get(&dependency).copied().unwrap_or_default();
            facts.joined && reached(Dependency::Results) && reached(Dependency::Latest)
        })
    }

    /// The stopped partitions and why.
    #[must_use]
    pub fn stopped_partitions(&self) -> BTreeMap<i32, Stop> {
        self.with(|facts| facts.stopped.clone())
    }

    /// The level now, and every reason for it.
    #[must_use]
    pub fn judge(&self, now: Instant) -> (Level, Vec<String>) {
        self.with(|facts| {
            let outages = facts.longest_outages().into_iter().map(|(dependency, outage)| {
                let away = now.saturating_duration_since(outage.since);
                let level = if away >= UNHEALTHY_AFTER {
                    Level::Unhealthy
                } else {
                    Level::Degraded
                };
                (
                    level,
                    format!("{dependency} is away for {} s: {}", away.as_secs(), outage.cause),
                )
            });
            let stops = facts.stopped.iter();
            let stops =
                stops.map(|(partition, stop)| (Level::Unhealthy, format!("partition {partition} stopped: {stop}")));
            let found: Vec<(Level, String)> = outages.chain(stops).collect();
            let level = found.iter().map(|(level, _)| *level).max().unwrap_or(Level::Healthy);
            (level, found.into_iter().map(|(_, reason)| reason).collect())
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Shows that a thread moves.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    last_beat_ms: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// The thread went round once more.
    pub fn beat(&self) {
        self.last_beat_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Whether the last beat is recent.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let silence = self
            .elapsed_ms()
            .saturating_sub(self.last_beat_ms.load(Ordering::Relaxed));
        Duration::from_millis(silence) < STUCK_AFTER
    }

    /// Time since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::StoreError;

    #[test]
    fn an_outage_degrades_at_once_and_is_unhealthy_after_a_minute() {
        let board = HealthBoard::default();
        board.fails(Dependency::Results, "commit", &"connection refused");
        let now = Instant::now();
        assert_eq!(board.judge(now).0, Level::Degraded);
        let (level, reasons) = board.judge(now + UNHEALTHY_AFTER);
        assert_eq!(level, Level::Unhealthy);
        assert!(reasons[0].contains("connection refused"), "{reasons:?}");
        board.works(Dependency::Results, "commit");
        assert_eq!(board.judge(now + UNHEALTHY_AFTER), (Level::Healthy, vec![]));
    }

    #[test]
    fn a_store_that_answers_reads_and_refuses_writes_becomes_unhealthy() {
        let board = HealthBoard::default();
        board.fails(Dependency::Latest, "publish", &"OOM command not allowed");
        board.works(Dependency::Latest, "markers");
        assert_eq!(board.judge(Instant::now() + UNHEALTHY_AFTER).0, Level::Unhealthy);
    }

    #[test]
    fn a_call_that_was_given_up_says_nothing_of_a_store_that_answers() {
        let board = HealthBoard::default();
        board.fails(Dependency::Results, "take_over", &"connection refused");
        board.worked_at(Dependency::Results, "live_revision", Instant::now() + GIVEN_UP_AFTER);
        assert_eq!(board.judge(Instant::now()).0, Level::Healthy);
    }

    #[test]
    fn what_an_open_circuit_answered_says_nothing() {
        let board = HealthBoard::default();
        let not_asked = StoreError::NotAsked(Duration::from_secs(1));
        board.note(Dependency::Results, "commit", Some(&not_asked));
        assert_eq!(board.judge(Instant::now()).0, Level::Healthy);
        assert!(!board.with(|facts| facts.reached.contains_key(&Dependency::Results)));
    }

    #[test]
    fn the_last_failure_says_why_and_the_first_since_when() {
        let board = HealthBoard::default();
        board.fails(Dependency::Results, "commit", &"connection refused");
        let first = Instant::now();
        board.fails(Dependency::Results, "commit", &"wrong password");
        let (level, reasons) = board.judge(first + UNHEALTHY_AFTER);
        assert_eq!(level, Level::Unhealthy);
        assert!(
            reasons.len() == 1 && reasons[0].contains("wrong password"),
            "{reasons:?}"
        );
    }

    #[test]
    fn a_stopped_partition_is_unhealthy_until_it_goes() {
        let board = HealthBoard::default();
        board.stopped(4, Stop::ProgressMissing);
        assert_eq!(board.judge(Instant::now()).0, Level::Unhealthy);
        board.gone(4);
        assert_eq!(board.judge(Instant::now()).0, Level::Healthy);
    }

    #[test]
    fn work_that_was_under_way_does_not_end_an_outage() {
        let board = HealthBoard::default();
        board.fails(Dependency::Source, "fetch", &"denied");
        board.goes_on(Dependency::Source, Duration::from_mins(1));
        assert_eq!(board.judge(Instant::now()).0, Level::Degraded);
        board.goes_on(Dependency::Source, Duration::ZERO);
        assert_eq!(board.judge(Instant::now()).0, Level::Healthy);
    }

    #[test]
    fn ready_needs_the_group_and_both_stores_once() {
        let board = HealthBoard::default();
        board.works(Dependency::Results, "progress");
        board.works(Dependency::Latest, "markers");
        assert!(!board.is_ready());
        board.joined();
        board.fails(Dependency::Results, "commit", &"gone again");
        assert!(board.is_ready());
    }
}
