//! The processor: consumes the source topic, steps the engine, and commits rows and progress as one.

pub mod commands;
pub mod ingest;
pub mod latest;
pub mod resilience;
pub mod settings;
pub mod stores;
