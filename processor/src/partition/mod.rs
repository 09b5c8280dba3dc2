//! One partition of one revision: the commit protocol, and the thread that runs it.
//!
//! `actor`, `mailbox` and `workers` are its threads. `protocol`, `recovery` and `commit_cycle` are pure: no thread, clock,
//! Kafka, database or future. The processor drives them from its threads and the model tests drive them from a seed;
//! both run the same decisions.
//!
//! A partition lives through: take over (`Progress`) → [`recovery::recover`] → records from the resume offset through
//! [`Partition::ingest`], silent until `next_offset` → live → [`Partition::make_advance`] → a [`CommitCycle`] over all
//! partitions → [`Partition::settle`] with its verdict.

pub mod actor;
pub mod commit_cycle;
pub mod mailbox;
pub mod protocol;
pub mod recovery;
mod stop;
pub mod workers;

pub use commit_cycle::{CommitCycle, CycleStep, Resting, Verdict};
pub use protocol::{Applied, Partition, RawRecord, RecordHeaders, SnapshotImage};
pub use recovery::{LogBounds, Recovered, recover};
pub use stop::Stop;

use assay_engine::StateDigest;

/// The text form of a state digest in rows: 32 lower-case hex digits.
#[must_use]
pub fn state_digest_text(digest: StateDigest) -> String {
    format!("{:032x}", digest.0)
}

/// Digest of a record's key and value, 32 lower-case hex digits: tells one log from another.
#[must_use]
pub fn record_digest(key: &[u8], value: &[u8]) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    format!("{:032x}", hasher.digest128())
}

#[cfg(test)]
mod tests;
