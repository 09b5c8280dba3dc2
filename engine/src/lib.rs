//! The pure core of Assay: trades in, checked probabilities out.
//!
//! `PartitionState::step` is a function of the log and of the revision's settings alone. Nothing in this crate
//! reads a clock, draws a random number, performs I/O or knows Kafka, a database or Kubernetes.

pub mod effects;
pub mod evaluation;
pub mod fixed_point;
pub mod partition_state;
pub mod probability;
pub mod settings;
pub mod trade;

pub use effects::{Effects, Fault, Forecast, Outcome, OutcomeKind, SymbolView};
pub use partition_state::{Counters, PartitionState, SnapshotError, StateDigest};
pub use settings::Settings;
pub use trade::{Disposition, Position, Record, Rejection, Side, Trade};
