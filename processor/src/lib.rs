//! The processor: consumes the source topic, steps the engine, and commits rows and progress as one.

pub mod admin;
pub mod args;
pub mod backtest;
pub mod commands;
pub mod commit;
pub mod connect;
pub mod crash_points;
pub mod demo;
pub mod feed;
pub mod ingest;
pub mod latest;
pub mod memory;
pub mod partition;
pub mod process;
pub mod report;
pub mod resilience;
pub mod run_config;
pub mod secret;
pub mod settings;
pub mod startup;
pub mod stores;
pub mod telemetry;
pub mod tls;
pub mod venues;
