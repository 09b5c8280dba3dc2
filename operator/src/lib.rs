//! The operator: turns a `StrategyPipeline` into topics, processors, revisions, and a status that explains itself.
//!
//! Four steps a pass: dereference (all reads), validate (pure), build (pure), apply (all writes). It never links the engine and never
//! writes a spec.

pub mod admin;
pub mod args;
pub mod children;
pub mod commands;
pub mod context;
pub mod crash_points;
pub mod finalizer;
pub mod kafka;
pub mod leader;
pub mod logging;
pub mod names;
pub mod observe;
pub mod pipeline;
pub mod rollout;
pub mod scaling;
pub mod secrets;
pub mod store;
pub mod text;
pub mod topics;
pub mod written;
