//! What the processor tells about itself: metrics, logs and the status report. Never a credential, never a decision.

pub mod logs;
pub mod metrics;
pub mod report;

pub use metrics::Metrics;
