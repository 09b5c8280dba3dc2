//! A circuit breaker: after a row of failures calls are answered at once for a while, then one probe decides.
//!
//! It keeps a store that struggles from being stormed, and a caller from waiting for the same timeout again and again.
//! The three states follow Nygard, "Release It!", chapter 5.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When the circuit opens and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before a probe is let through.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    /// Five failures, one second.
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(1),
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are answered with an error at once.
    Open,
    /// One probe is under way or may start; other calls are answered at once.
    HalfOpen,
}

/// Totals since the start, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BreakerCounts {
    /// Calls that succeeded or were refused by a store that answers.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Times the circuit opened.
    pub trips: u64,
    /// Calls answered without asking the store.
    pub rejected: u64,
}

/// Guards one store.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    counts: BreakerCounts,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// The probe that never reports back (its future was dropped) is given up at `until`.
    Probing {
        until: Instant,
    },
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner {
            phase: Phase::Closed { failures: 0 },
            counts: BreakerCounts::default(),
        };
        Self {
            settings,
            inner: Mutex::new(inner),
        }
    }

    /// Asks whether a call may pass.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed { .. } => Ok(()),
            Phase::Open { until } | Phase::Probing { until } if now < until => {
                inner.counts.rejected += 1;
                Err(until - now)
            }
            Phase::Open { .. } | Phase::Probing { .. } => {
                inner.phase = Phase::Probing {
                    until: now + self.settings.open_for,
                };
                Ok(())
            }
        }
    }

    /// Reports a call that reached the store: the circuit closes.
    pub fn succeeded(&self) {
        let mut inner = self.lock();
        inner.counts.successes += 1;
        inner.phase = Phase::Closed { failures: 0 };
    }

    /// Reports a call that did not reach the store. A failed probe opens the circuit again.
    pub fn failed(&self, now: Instant) {
        let mut inner = self.lock();
        inner.counts.failures += 1;
        let failures = match inner.phase {
            Phase::Closed { failures } => failures + 1,
            Phase::Probing { .. } => self.settings.failures,
            Phase::Open { .. } => return,
        };
        inner.phase = Phase::Closed { failures };
        if failures >= self.settings.failures {
            inner.counts.trips += 1;
            inner.phase = Phase::Open {
                until: now + self.settings.open_for,
            };
        }
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.lock().phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// Totals since the start.
    #[must_use]
    pub fn counts(&self) -> BreakerCounts {
        self.lock().counts
    }

    /// No code panics between two writes, so a poisoned value is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        open_for: Duration::from_secs(1),
    };

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            breaker.admit(now).unwrap();
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new(SETTINGS);
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            breaker.succeeded();
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(opened(now).state(now), BreakerState::Open);
    }

    #[test]
    fn an_open_circuit_answers_at_once_and_says_for_how_long() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(
            breaker.admit(now + Duration::from_millis(400)),
            Err(Duration::from_millis(600))
        );
        assert_eq!(
            breaker.counts(),
            BreakerCounts {
                successes: 0,
                failures: 3,
                trips: 1,
                rejected: 1
            }
        );
    }

    #[test]
    fn one_probe_passes_and_its_success_closes_the_circuit() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + Duration::from_millis(1001);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_err(), "a second call passed beside the probe");
        breaker.succeeded();
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again_at_once() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + Duration::from_millis(1001);
        breaker.admit(later).unwrap();
        breaker.failed(later);
        assert_eq!(breaker.state(later), BreakerState::Open);
        assert_eq!(breaker.counts().trips, 2);
    }

    #[test]
    fn a_probe_that_never_reports_does_not_keep_the_circuit_shut_for_ever() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + Duration::from_millis(1001);
        breaker.admit(later).unwrap();
        assert!(breaker.admit(later + Duration::from_millis(1001)).is_ok());
    }
}
