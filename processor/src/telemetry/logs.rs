//! JSON logs on standard error: one object a line, an event's fields flat, the forecast's id on everything about a forecast, and
//! in `span` what it happened in. The operator's lines look the same and obey the same variable (its module `logging`).

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, filter};

/// A level that cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum LogLevelError {
    /// Not a list of directives.
    #[error("ASSAY_LOG: {0}; write directives such as info or warn,assay_processor=debug")]
    Malformed(#[from] filter::ParseError),
    /// A word alone that is no level.
    #[error(
        "ASSAY_LOG: {0:?} is none of off, error, warn, info, debug and trace; write directives such as info or warn,assay_processor=debug"
    )]
    NoLevel(String),
}

/// Starts logging; `ASSAY_LOG` takes the directives of tracing-subscriber's `EnvFilter`, `default` where it is not set.
/// A second call does nothing: an embedding program keeps its own subscriber.
///
/// # Errors
/// Where the directives are malformed.
pub fn start(default: &str) -> Result<(), LogLevelError> {
    let set = std::env::var("ASSAY_LOG").ok().filter(|text| !text.is_empty());
    let directives = set.unwrap_or_else(|| default.to_owned());
    // Fails only where a subscriber is set already.
    let _ = subscriber(&directives, std::io::stderr)?.try_init();
    Ok(())
}

fn subscriber<W>(directives: &str, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, LogLevelError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false);
    let filter = parse(directives)?;
    Ok(lines.with_writer(writer).with_env_filter(filter).finish())
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
        let (mut log, writer) = std::io::pipe().unwrap();
        {
            let _started = subscriber("warn", Arc::new(writer)).unwrap().set_default();
            let _work = tracing::warn_span!("work", partition = 3).entered();
            tracing::info!("below the level");
            tracing::warn!(forecast_id = "f-1", "told");
        }
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        let line: Value = serde_json::from_str(&text).expect("one line, one object");
        assert_eq!(
            (&line["level"], &line["message"], &line["forecast_id"]),
            (&"WARN".into(), &"told".into(), &"f-1".into())
        );
        assert_eq!(line["span"]["partition"], 3);
    }

    #[test]
    fn malformed_directives_are_refused_with_an_example() {
        for directives in ["assay_processor=loud", "loud", "warn,loud", "info, debug"] {
            let error = parse(directives).unwrap_err().to_string();
            assert!(error.starts_with("ASSAY_LOG: "), "{error}");
            assert!(error.ends_with("such as info or warn,assay_processor=debug"), "{error}");
        }
    }

    #[test]
    fn a_level_may_stand_alone_in_either_case() {
        for directives in ["off", "INFO", "warn,assay_processor=debug"] {
            parse(directives).unwrap();
        }
    }
}
