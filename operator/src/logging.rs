//! Logs as JSON lines on standard error, at a level that may be changed while the operator runs.

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// A level that cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum LogLevelError {
    /// Not a list of directives.
    #[error("{0}; write directives such as info or warn,assay_operator=debug")]
    Malformed(#[from] tracing_subscriber::filter::ParseError),
    /// The subscriber is gone: the process is ending.
    #[error("the log is closed: {0}; the operator is ending")]
    Closed(#[from] reload::Error),
}

/// Changes the level of a running log.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Starts the log at the level of `RUST_LOG`, else `info`.
    #[must_use]
    pub fn start() -> Self {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let (filter, handle) = reload::Layer::new(filter);
        let lines = tracing_subscriber::fmt::layer().json().with_writer(io::stderr);
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self(handle)
    }

    /// Sets it.
    ///
    /// # Errors
    /// Where the text is malformed.
    pub fn set(&self, directives: &str) -> Result<(), LogLevelError> {
        Ok(self.0.reload(EnvFilter::try_new(directives.trim())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_changed_by_directives_and_a_malformed_one_is_refused_with_an_example() {
        let (_layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        let level = LogLevel(handle.clone());
        level.set("warn,assay_operator=debug\n").unwrap();
        let now = handle.with_current(ToString::to_string).unwrap();
        assert!(now.contains("assay_operator=debug"), "{now}");
        let error = level.set("assay_operator=loud").unwrap_err().to_string();
        assert!(error.contains("such as info"), "{error}");
    }
}
