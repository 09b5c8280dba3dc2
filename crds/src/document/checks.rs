//! Rules over typed values that CEL cannot say, or can say only at a cost the API server refuses.

use crate::problem::Problem;
use crate::settings::validate_settings;
use crate::spec::{RedisSpec, ResultsSpec, RolloutSpec};
use crate::{DurationText, StrategyPipelineSpec};

/// Every finding.
pub(super) fn check(spec: &StrategyPipelineSpec) -> Vec<Problem> {
    let mut found = validate_settings(&spec.settings)
        .err()
        .map(crate::Problems::into_vec)
        .unwrap_or_default();
    found.extend(history_fits_retention(spec));
    found.extend(durations(&spec.results, &spec.rollout));
    found
}

/// A revision that starts at the edge of retention would lose its first records while it replays.
///
/// `historyWindow <= 0.8 × retention.ms`, where the manifest states a limit.
fn history_fits_retention(spec: &StrategyPipelineSpec) -> Option<Problem> {
    let retention_ms: i64 = spec.source.config.get("retention.ms")?.parse().ok()?;
    let history_ms = spec.settings.history_window.micros().ok()? / 1000;
    let most = retention_ms / 10 * 8;
    if retention_ms < 0 || history_ms <= most {
        return None;
    }
    let longest = DurationText::from_micros(most.saturating_mul(1000));
    let needed = history_ms / 8 * 10;
    Some(Problem::new(
        "spec.settings.historyWindow",
        format!(
            "must be at most 0.8 of source.config[retention.ms], which is {longest}; shorten it or raise retention.ms to {needed}"
        ),
    ))
}

fn durations(results: &ResultsSpec, rollout: &RolloutSpec) -> Vec<Problem> {
    let ResultsSpec {
        retention,
        postgres: _,
        redis: RedisSpec { .. },
    } = results;
    [
        (retention, "spec.results.retention"),
        (&rollout.max_wait, "spec.rollout.maxWait"),
    ]
    .into_iter()
    .filter_map(|(duration, path)| {
        duration
            .micros()
            .err()
            .map(|error| Problem::new(path, error.to_string()))
    })
    .collect()
}
