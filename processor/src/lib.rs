//! The processor: consumes the source topic, steps the engine, and commits rows and progress as one.

pub mod ingest;
pub mod latest;
pub mod settings;
pub mod stores;
