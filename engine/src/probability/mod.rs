//! Turns signals into probabilities from the frequencies of the past, and learns from what became of them.
//!
//! Everything is f64 with + − × ÷, sqrt and libm's ln and exp in a fixed order: the same bits on every machine. Nothing
//! here reads prices or trades; it is told the price, the volatility and the gaps of an instant.

pub mod base_rate;
pub mod confidence;
mod distribution;
mod engine;
mod inputs;
mod inverse_normal;
mod parameters;
pub mod pool;
pub mod track_record;
pub mod weights;

#[cfg(test)]
mod tests;

pub use base_rate::{BaseRate, GRID_US};
pub use confidence::{ConfidenceScorer, Evidence, Level};
pub use distribution::{Direction, Distribution, Label};
pub use engine::{Call, Moment, ProbabilityEngine, Surroundings};
pub use inverse_normal::inverse_normal_cdf;
pub use parameters::{POOLED, Parameters};
pub use pool::{Opinion, pool};
pub use track_record::{BUCKETS, Bucket, TrackRecord};
pub use weights::Weights;
