//! Fuzz targets. Each module has a `check` that takes any bytes and panics where its oracle is broken.
//!
//! `feed`, `ingest` and `venues` are the processor's own files: the crate as a dependency would bring librdkafka, SQLite
//! and TLS into every fuzz build.

mod allocations;
pub mod decoder;
pub mod feed;
pub mod ingest;
pub mod manifest;
pub mod readers;
pub mod snapshot;
mod steps;
#[path = "../../processor/src/venues/mod.rs"]
pub mod venues;
