//! Every CEL rule of the schema, tripped once, with the message a user sees. The last test makes sure that none is left out.

// Clippy's exemption for tests does not reach the helpers of an integration test; the table of rules is long by nature.
#![allow(clippy::unwrap_used, clippy::panic, clippy::too_many_lines)]

use std::collections::BTreeSet;

use assay_crds::spec::OWNED_CLIENT_KEYS;
use assay_crds::{StrategyPipeline, load_pipeline, schema};
use rstest::rstest;
use serde_json::{Value, json};

const FULL: &str = include_str!("documents/full-v1.yaml");

/// What each rule's message starts with, the field that trips it, and the value. Kept in one table so that coverage can be checked.
fn creations() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "metadata.name must have at most 45",
            "/metadata/name",
            json!("a".repeat(46)),
        ),
        (
            "metadata.name must start with a letter",
            "/metadata/name",
            json!("1.majors"),
        ),
        (
            "deadLetters.topic must differ",
            "/spec/deadLetters/topic",
            json!("raw.trades"),
        ),
        (
            "clientConfig holds a key that Assay owns",
            "/spec/kafka/clientConfig",
            json!({"group.id": "mine"}),
        ),
        (
            "a SASL protocol needs mechanism",
            "/spec/kafka/security",
            json!({"protocol": "SASL_SSL"}),
        ),
        (
            "mechanism and credentialsSecret need protocol SASL",
            "/spec/kafka/security",
            json!({"protocol": "SSL", "mechanism": "PLAIN"}),
        ),
        (
            "clientCertificateSecret and caSecret need",
            "/spec/kafka/security",
            json!({"protocol": "PLAINTEXT", "caSecret": {"name": "a", "key": "b"}}),
        ),
        (
            "cleanup.policy must be delete",
            "/spec/source/config",
            json!({"cleanup.policy": "compact"}),
        ),
        (
            "retention.ms must be a whole number",
            "/spec/source/config",
            json!({"retention.ms": "10d"}),
        ),
        ("historyWindow must cover", "/spec/settings/historyWindow", json!("10m")),
        (
            "dedupeWindow must be at least lateness",
            "/spec/settings/dedupeWindow",
            json!("1s"),
        ),
        ("lateness must be at most 1h", "/spec/settings/lateness", json!("2h")),
        (
            "horizon must be between",
            "/spec/settings/evaluation/horizon",
            json!("25h"),
        ),
        (
            "volatilityMultiple must be above 0",
            "/spec/settings/evaluation/volatilityMultiple",
            json!("0"),
        ),
        (
            "learningRate must be between",
            "/spec/settings/probability/learningRate",
            json!("1.5"),
        ),
        (
            "0 <= exitZ < entryZ < maxZ",
            "/spec/settings/strategies/0/vwapReversion/exitZ",
            json!("3"),
        ),
        (
            "volumeRatio must be above 0",
            "/spec/settings/strategies/1/rangeBreakout/volumeRatio",
            json!("0"),
        ),
        (
            "vwapReversion belongs to type",
            "/spec/settings/strategies/0/type",
            json!("RangeBreakout"),
        ),
        (
            "rangeBreakout belongs to type",
            "/spec/settings/strategies/1/type",
            json!("VwapReversion"),
        ),
        ("must be a duration such as", "/spec/results/retention", json!("90d")),
        ("must be a decimal number", "/spec/rollout/maxSkillLoss", json!("1%")),
        ("maxSkillLoss must be between", "/spec/rollout/maxSkillLoss", json!("2")),
        (
            "commit.interval must be between",
            "/spec/processor/commit/interval",
            json!("2m"),
        ),
        (
            "commit.publishInterval must be between",
            "/spec/processor/commit/publishInterval",
            json!("0ms"),
        ),
        (
            "names that start with ASSAY_ are",
            "/spec/processor/pod/env",
            json!([{"name": "ASSAY_LOG", "value": "x"}]),
        ),
        (
            "serviceAccount takes a name",
            "/spec/processor/pod/serviceAccount",
            json!({"name": "a", "annotations": {"role": "b"}}),
        ),
        ("minReplicas must not exceed", "/spec/scaling/minReplicas", json!(13)),
        (
            "targetDrain must be at least 1s",
            "/spec/scaling/targetDrain",
            json!("500ms"),
        ),
    ]
}

fn updates() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("source.topic is immutable", "/spec/source/topic", json!("other.trades")),
        (
            "source.partitions cannot decrease",
            "/spec/source/partitions",
            json!(11),
        ),
        (
            "deadLetters.partitions cannot decrease",
            "/spec/deadLetters/partitions",
            json!(0),
        ),
        ("groupPrefix is immutable", "/spec/kafka/groupPrefix", json!("other")),
        (
            "results.postgres.schema is immutable",
            "/spec/results/postgres/schema",
            json!("other"),
        ),
    ]
}

fn changed(pointer: &str, value: Value) -> StrategyPipeline {
    let mut document = serde_json::to_value(load_pipeline(FULL).unwrap()).unwrap();
    *document
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer} is not in the document")) = value;
    serde_json::from_value(document).unwrap()
}

#[test]
fn the_full_document_breaks_no_rule() {
    load_pipeline(FULL).unwrap().validate_cel().unwrap();
}

#[test]
fn every_rule_of_creation_refuses_what_it_is_for() {
    for (message, pointer, value) in creations() {
        let errors = changed(pointer, value).validate_cel().expect_err(message).to_string();
        assert!(
            errors.contains(message),
            "{pointer}: {message:?} is missing in {errors}"
        );
    }
}

#[test]
fn every_rule_of_change_refuses_what_it_is_for() {
    let old = load_pipeline(FULL).unwrap();
    for (message, pointer, value) in updates() {
        let errors = changed(pointer, value)
            .validate_cel_update(&old)
            .expect_err(message)
            .to_string();
        assert!(
            errors.contains(message),
            "{pointer}: {message:?} is missing in {errors}"
        );
    }
}

#[rstest]
#[case("/spec/source/partitions", json!(24))]
#[case("/spec/deadLetters/partitions", json!(2))]
#[case("/spec/processor/replicas", json!(0))]
#[case("/spec/settings/historyWindow", json!("24h"))]
fn a_change_that_hurts_nothing_passes(#[case] pointer: &str, #[case] value: Value) {
    changed(pointer, value)
        .validate_cel_update(&load_pipeline(FULL).unwrap())
        .unwrap();
}

#[test]
fn every_key_that_assay_owns_is_refused_by_name() {
    for key in OWNED_CLIENT_KEYS {
        let pipeline = changed("/spec/kafka/clientConfig", json!({ key: "x" }));
        assert!(pipeline.validate_cel().is_err(), "{key} was accepted");
    }
}

#[test]
fn no_rule_of_the_schema_is_left_untested() {
    let mut messages = BTreeSet::new();
    collect(schema::pipeline_schema(), &mut messages);
    let tested: Vec<&str> = creations()
        .into_iter()
        .chain(updates())
        .map(|(message, _, _)| message)
        .collect();
    let untested: Vec<&String> = messages
        .iter()
        .filter(|m| !tested.iter().any(|start| m.starts_with(start)))
        .collect();
    assert!(
        messages.len() > 25 && untested.is_empty(),
        "rules without a test: {untested:#?}"
    );
}

fn collect(value: &Value, messages: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
            messages.extend(
                rules
                    .into_iter()
                    .flatten()
                    .map(|rule| rule["message"].as_str().unwrap().to_owned()),
            );
            map.values().for_each(|child| collect(child, messages));
        }
        Value::Array(items) => items.iter().for_each(|child| collect(child, messages)),
        _ => {}
    }
}
