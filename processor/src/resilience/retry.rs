//! Exponential back-off with jitter, bounded in delay and in total, for calls that may be repeated as they are.
//!
//! A commit may not: after a lost reply its caller reads progress first.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::Transient;

/// When to try again, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Delay before the second attempt; each later one doubles, plus up to as much again by chance.
    pub first_delay: Duration,
    /// Longest delay before jitter.
    pub longest_delay: Duration,
    /// Sum of delays after which the last error is given back.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// 50 ms, at most 2 s, for half a minute.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(2),
            give_up_after: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// Runs `call` until it succeeds, fails for good, or the policy gives up. `retries` counts repetitions for metrics.
    ///
    /// # Errors
    /// The last error.
    pub async fn run<T, E: Transient + Display, F: Future<Output = Result<T, E>>>(
        &self,
        name: &'static str,
        retries: &AtomicU64,
        mut call: impl FnMut() -> F,
    ) -> Result<T, E> {
        let mut delays = self.builder().build();
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            let Some(delay) = delays.next() else { return Err(error) };
            retries.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(call = name, %error, ?delay, "trying again");
            tokio::time::sleep(delay).await;
        }
    }

    fn builder(&self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .without_max_times()
            .with_total_delay(Some(self.give_up_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::StoreError;

    const QUICK: RetryPolicy = RetryPolicy {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(4),
        give_up_after: Duration::from_millis(40),
    };

    fn away() -> StoreError {
        StoreError::Unavailable("away".into())
    }

    #[tokio::test]
    async fn an_outage_that_ends_is_survived_and_its_retries_are_counted() {
        let retries = AtomicU64::new(0);
        let mut attempts = 0;
        let answer = QUICK
            .run("probe", &retries, || {
                attempts += 1;
                std::future::ready(if attempts < 4 { Err(away()) } else { Ok(attempts) })
            })
            .await;
        assert_eq!(answer.unwrap(), 4);
        assert_eq!(retries.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_refusal_is_not_repeated() {
        let retries = AtomicU64::new(0);
        let mut attempts = 0;
        let answer: Result<(), _> = QUICK
            .run("probe", &retries, || {
                attempts += 1;
                std::future::ready(Err(StoreError::Refused("no such table".into())))
            })
            .await;
        assert!(matches!(answer, Err(StoreError::Refused(_))));
        assert_eq!((attempts, retries.load(Ordering::Relaxed)), (1, 0));
    }

    #[tokio::test]
    async fn an_outage_that_lasts_is_given_back_within_the_bound() {
        let retries = AtomicU64::new(0);
        let answer: Result<(), _> = QUICK.run("probe", &retries, || std::future::ready(Err(away()))).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
        assert!((5..=40).contains(&retries.load(Ordering::Relaxed)), "{retries:?}");
    }
}
