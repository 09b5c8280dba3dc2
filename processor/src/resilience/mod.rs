//! What stands between the run loop and stores that fail: retries selective by error, a circuit breaker, and health.
//!
//! A refusal is never repeated; only what may pass by itself is.

pub mod breaker;
pub mod guarded;
pub mod health;
pub mod retry;

use crate::latest::LatestError;
use crate::stores::StoreError;

pub use breaker::{Breaker, BreakerCounts, BreakerSettings, BreakerState};
pub use guarded::{GuardedLatest, GuardedStore};
pub use retry::RetryPolicy;

/// An error that says whether trying again can help.
pub trait Transient {
    /// True where the same call may succeed later without anyone's doing.
    fn is_transient(&self) -> bool;

    /// False where an open circuit answered: the failures before it say more.
    fn was_asked(&self) -> bool {
        true
    }
}

impl Transient for StoreError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotAsked(_))
    }

    fn was_asked(&self) -> bool {
        !matches!(self, Self::NotAsked(_))
    }
}

impl Transient for LatestError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotAsked(_))
    }

    fn was_asked(&self) -> bool {
        !matches!(self, Self::NotAsked(_))
    }
}
