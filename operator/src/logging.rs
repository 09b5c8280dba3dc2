//! Logs as JSON lines on standard error, at a level that may be changed while the operator runs: one object a line, an event's
//! fields flat, and in `span` what it happened in. The processor's lines look the same and obey the same variable (its module
//! `telemetry::logs`).

use std::io;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// A level that cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum LogLevelError {
    /// Not a list of directives.
    #[error("{0}; write directives such as info or warn,assay_operator=debug")]
    Malformed(#[from] tracing_subscriber::filter::ParseError),
    /// A word alone that is no level.
    #[error(
        "{0:?} is none of off, error, warn, info, debug and trace; write directives such as info or warn,assay_operator=debug"
    )]
    NoLevel(String),
    /// The subscriber is gone: the process is ending.
    #[error("the log is closed: {0}; the operator is ending")]
    Closed(#[from] reload::Error),
}

/// Changes the level of a running log.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Starts the log at the level of `ASSAY_LOG`, else `info`.
    ///
    /// # Errors
    /// Where the variable's text is malformed.
    pub fn start() -> Result<Self, LogLevelError> {
        let set = std::env::var("ASSAY_LOG").ok().filter(|text| !text.is_empty());
        let directives = set.unwrap_or_else(|| "info".to_owned());
        let (level, subscriber) = log(&directives, io::stderr)?;
        subscriber.init();
        Ok(level)
    }

    /// Sets it.
    ///
    /// # Errors
    /// Where the text is malformed.
    pub fn set(&self, directives: &str) -> Result<(), LogLevelError> {
        Ok(self.0.reload(parse(directives.trim())?)?)
    }
}

fn log<W>(directives: &str, writer: W) -> Result<(LogLevel, impl Subscriber + Send + Sync + use<W>), LogLevelError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(directives)?);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_writer(writer));
    Ok((LogLevel(handle), subscriber))
}

/// A word alone would be taken as a target's name, and a misspelt level would silence everything else.
fn parse(directives: &str) -> Result<EnvFilter, LogLevelError> {
    let mut words = directives.split(',').filter(|directive| !directive.contains('='));
    match words.find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err()) {
        Some(word) => Err(LogLevelError::NoLevel(word.to_owned())),
        None => Ok(EnvFilter::try_new(directives)?),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_is_one_object_of_flat_fields_and_the_span_around_it() {
        let (mut log, writer) = io::pipe().unwrap();
        {
            let (_level, subscriber) = super::log("warn", Arc::new(writer)).unwrap();
            let _started = subscriber.set_default();
            let _work = tracing::warn_span!("reconcile", object = "one").entered();
            tracing::info!("below the level");
            tracing::warn!(pipeline = "p-1", "told");
        }
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        let line: Value = serde_json::from_str(&text).expect("one line, one object");
        assert_eq!(
            (&line["level"], &line["message"], &line["pipeline"]),
            (&"WARN".into(), &"told".into(), &"p-1".into())
        );
        assert_eq!(line["span"]["object"], "one");
    }

    #[test]
    fn a_level_is_changed_by_directives_and_a_malformed_one_is_refused_with_an_example() {
        let (_layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        let level = LogLevel(handle.clone());
        level.set("warn,assay_operator=debug\n").unwrap();
        let now = handle.with_current(ToString::to_string).unwrap();
        assert!(now.contains("assay_operator=debug"), "{now}");
        for wrong in ["assay_operator=loud", "loud", "assay_operator=debug,inof", ""] {
            let error = level.set(wrong).unwrap_err().to_string();
            assert!(error.contains("such as info"), "{error}");
        }
        assert_eq!(now, handle.with_current(ToString::to_string).unwrap());
    }
}
