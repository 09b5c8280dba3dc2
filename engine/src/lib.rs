//! The pure core of Assay: trades in, checked probabilities out.
//!
//! `PartitionState::step` is a function of the log and of the revision's settings alone. Nothing in this crate
//! reads a clock, draws a random number, performs I/O or knows Kafka, a database or Kubernetes.

mod closed_seconds;
mod codec;
pub mod effects;
pub mod evaluation;
pub mod fixed_point;
mod fold_hash;
pub mod indicators;
pub mod partition_state;
pub mod probability;
pub mod ratio;
mod rules;
mod schedule;
pub mod settings;
pub mod slot;
pub mod strategies;
mod symbol_state;
mod symbol_table;
mod symbol_view;
pub mod trade;
mod trade_ids;
pub mod watermark;
pub mod wide;

pub use effects::{Effects, Fault, Fields, Forecast, Outcome, OutcomeKind, SymbolView};
pub use partition_state::{Counters, PartitionState, Score, SnapshotError, StateDigest};
pub use settings::Settings;
pub use trade::{Disposition, Position, Record, Rejection, Side, Trade};
