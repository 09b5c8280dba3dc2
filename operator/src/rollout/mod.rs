//! Revisions: which instance is wanted, which runs, and when it takes over. All pure; the flip itself is the store's.

mod revision;

pub use revision::{
    Gone, Known, Rollout, RolloutInput, RolloutState, decide, instance_of, is_caught_up, start_offsets,
};
