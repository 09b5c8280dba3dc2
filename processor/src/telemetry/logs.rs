//! JSON logs on standard error: one object a line, fields flat, the forecast's id on everything about a forecast.

use tracing_subscriber::EnvFilter;

/// Starts logging; `ASSAY_LOG` takes the directives of tracing-subscriber's `EnvFilter`, `default` where it is not set.
/// A second call does nothing: an embedding program keeps its own subscriber.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env("ASSAY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    // Fails only where a subscriber is set already.
    let _ = subscriber.try_init();
}
