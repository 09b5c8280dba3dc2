//! `StrategyPipeline`: its types, the rules it must obey, its defaults, and the identity of a revision.
//!
//! Shared by the operator, which reads it from the API server, and by the processor, which reads it from a file.
//! Nothing here does I/O, and nothing here knows the engine: settings leave as [`ValidatedSettings`] in plain integers and floats.

pub mod decimal;
pub mod document;
pub mod duration;
pub mod instance;
pub mod pipeline;
pub mod problem;
pub mod reference;
pub mod revision;
pub mod schema;
pub mod settings;
pub mod spec;
pub mod status;

pub use decimal::DecimalText;
pub use document::{load_pipeline, load_pipelines};
pub use duration::DurationText;
pub use instance::{InstanceOffsets, RevisionInstance};
pub use pipeline::{StrategyPipeline, StrategyPipelineSpec};
pub use problem::{Problem, Problems};
pub use revision::{ENGINE_SEMANTICS, RevisionId, RevisionInputs};
pub use settings::{ValidatedSettings, ValidatedStrategy, ValidatedSymbol, canonical_settings, validate_settings};
pub use status::StrategyPipelineStatus;

/// API group of every resource of this project.
pub const GROUP: &str = "assay.dev";
/// The one version served so far.
pub const VERSION: &str = "v1alpha1";
