//! Model runs of the commit protocol: many processes, one simulated log, group, result store and projection, one thread.
//!
//! A seed picks everything that may go wrong: crashes, batch splits, zombies, late assignments and revocations, lost and
//! delayed requests and replies, failovers that lose a bump, commits or a flip, and losses of the projection. What is
//! tested is the processor's own code without its inputs and outputs; what is simulated is everything around it.
//!
//! Safety: in every committed state the tables are those of one undisturbed pass (I1, I3, I4), only the newest owner
//! commits (I2), and every published value is a function of the log (I5). Liveness: once faults end, every partition
//! reaches the log's end within a bound, and projection and live key are right (I5, I8).

// Simulated offsets and partitions are small and never negative.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod calls;
mod defect;
mod latest;
mod log;
mod network;
mod process;
mod report;
mod rng;
mod rows;
mod simulation;
mod store;

pub use defect::Defect;
pub use log::World;
pub use report::{Counts, Failure};
pub use simulation::run;
