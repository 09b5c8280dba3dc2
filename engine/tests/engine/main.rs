//! Behaviour of the whole engine, seen from outside: properties over random logs, known series, recorded trades.

// Helpers of tests are tests: clippy only knows functions marked as such. Their numbers are small.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod behaviour;
mod dependencies;
mod golden;
mod properties;
mod support;
