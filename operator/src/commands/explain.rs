//! `explain`: the status of a pipeline as sentences, worst first.

use std::fmt::Write as _;

use anyhow::Context as _;
use assay_crds::{StrategyPipeline, StrategyPipelineStatus};
use kube::Api;

use crate::args::PipelineArgs;

/// Explains.
///
/// # Errors
/// Where the pipeline cannot be read.
pub async fn explain(args: &PipelineArgs) -> anyhow::Result<String> {
    let client = super::connect().await?;
    let namespace = args.namespace(&client);
    let api: Api<StrategyPipeline> = Api::namespaced(client.clone(), namespace);
    let pipeline = api
        .get(&args.name)
        .await
        .with_context(|| format!("pipeline {namespace}/{} cannot be read", args.name))?;
    Ok(story(
        &args.name,
        pipeline.metadata.generation,
        &pipeline.status.unwrap_or_default(),
    ))
}

fn story(name: &str, generation: Option<i64>, status: &StrategyPipelineStatus) -> String {
    let mut text = String::new();
    if status.observed_generation != generation {
        let _ = writeln!(
            text,
            "The operator has not seen the newest change of {name} yet; is it running?"
        );
    }
    let mut conditions: Vec<_> = status
        .conditions
        .iter()
        .filter(|condition| !condition.message.is_empty())
        .collect();
    conditions.sort_by_key(|condition| is_good(&condition.type_, &condition.status));
    conditions.dedup_by_key(|condition| condition.message.clone());
    for condition in conditions {
        let mark = if is_good(&condition.type_, &condition.status) {
            "ok "
        } else {
            "!! "
        };
        let _ = writeln!(
            text,
            "{mark}{} is {} ({}): {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
    }
    if let Some(lag) = &status.lag {
        let drain = status.time_to_drain.as_deref().unwrap_or("unknown");
        let headroom = status.retention_headroom.as_deref().unwrap_or("unknown");
        let _ = writeln!(
            text,
            "{} records wait; time to drain {drain}; {headroom} until retention deletes the oldest of them.",
            lag.total
        );
    }
    for topic in &status.topics {
        let message = topic.message.as_deref().unwrap_or("as wanted");
        let _ = writeln!(text, "Topic {} is {}: {message}.", topic.name, topic.state);
    }
    for revision in &status.revisions {
        let replayed = revision
            .replayed
            .as_deref()
            .map(|share| format!(", {share} of its history read"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "Revision {} is {}: {} processors ready{replayed}.",
            revision.name, revision.phase, revision.ready_replicas
        );
    }
    text
}

/// Conditions for which True is bad news.
fn is_good(kind: &str, status: &str) -> bool {
    let bad_when_true = ["Stalled", "Reconciling", "BrokerAutoCreation", "SchemaOutdated"].contains(&kind);
    (status == "True") != bad_when_true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_first() {
        let status: StrategyPipelineStatus = serde_json::from_value(serde_json::json!({
            "observedGeneration": 2,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Ready", "message": "fine", "lastTransitionTime": "2025-01-01T00:00:00Z"},
                {"type": "BrokerAutoCreation", "status": "True", "reason": "Enabled", "message": "set it", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            ],
        }))
        .unwrap();
        let text = story("majors", Some(2), &status);
        assert!(
            text.starts_with("!! BrokerAutoCreation is True (Enabled): set it\nok Ready"),
            "{text}"
        );
    }

    #[test]
    fn a_status_of_an_older_generation_is_told() {
        let text = story("majors", Some(2), &StrategyPipelineStatus::default());
        assert!(text.contains("has not seen the newest change"), "{text}");
    }
}
