//! What a run exercised, and why it failed.

use std::fmt;

/// Counters of one or many runs. Those that stay zero show that nothing was exercised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Owners that found themselves overtaken.
    pub fenced: u64,
    /// Commits whose reply never came.
    pub ambiguous: u64,
    /// Records read again in silence.
    pub replayed: u64,
    /// Own epoch found at another offset.
    pub restarted: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Processes that stood still while their partitions went elsewhere.
    pub zombies: u64,
    /// Failovers that lost writes.
    pub failovers: u64,
    /// Losses of the projection's contents.
    pub projection_losses: u64,
    /// Promotions and rollbacks.
    pub flips: u64,
    /// Rows of all kinds.
    pub rows: u64,
    /// Forecasts and outcomes among them.
    pub judged: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.fenced += other.fenced;
        self.ambiguous += other.ambiguous;
        self.replayed += other.replayed;
        self.restarted += other.restarted;
        self.crashes += other.crashes;
        self.zombies += other.zombies;
        self.failovers += other.failovers;
        self.projection_losses += other.projection_losses;
        self.flips += other.flips;
        self.rows += other.rows;
        self.judged += other.judged;
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed that repeats it.
    pub seed: u64,
    /// Simulated time.
    pub at: u64,
    /// The invariant and what broke it.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed {} at step {}: {}", self.seed, self.at, self.reason)
    }
}
