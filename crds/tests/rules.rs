//! Every CEL rule of the schema, tripped once, with the message a user sees; the API server is given the same documents by the tests of
//! the chart. The last test makes sure that no rule is left out.

// Clippy's exemption for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use assay_crds::spec::{OWNED_CLIENT_KEYS, OWNED_CLIENT_PREFIXES, is_owned_client_key};
use assay_crds::{StrategyPipeline, load_pipeline, schema};
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};

const FULL: &str = include_str!("documents/full-v1.yaml");

/// A document that a rule refuses.
#[derive(Deserialize)]
struct Refused {
    /// How the rule's message starts.
    message: String,
    /// Pointer to the field of the full document.
    field: String,
    /// What breaks the rule there.
    value: Value,
}

#[derive(Deserialize)]
struct RefusedDocuments {
    creation: Vec<Refused>,
    change: Vec<Refused>,
}

fn refused() -> RefusedDocuments {
    serde_saphyr::from_str(include_str!("documents/refused.yaml")).unwrap()
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
    for Refused { message, field, value } in refused().creation {
        let errors = changed(&field, value).validate_cel().expect_err(&message).to_string();
        assert!(errors.contains(&message), "{field}: {message:?} is missing in {errors}");
    }
}

#[test]
fn every_rule_of_change_refuses_what_it_is_for() {
    let old = load_pipeline(FULL).unwrap();
    for Refused { message, field, value } in refused().change {
        let changed = changed(&field, value).validate_cel_update(&old);
        let errors = changed.expect_err(&message).to_string();
        assert!(errors.contains(&message), "{field}: {message:?} is missing in {errors}");
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
    let by_prefix = OWNED_CLIENT_PREFIXES.map(|prefix| format!("{prefix}password"));
    for key in OWNED_CLIENT_KEYS.map(str::to_owned).iter().chain(&by_prefix) {
        assert!(is_owned_client_key(key), "{key}");
        let pipeline = changed("/spec/kafka/clientConfig", json!({ key: "x" }));
        assert!(pipeline.validate_cel().is_err(), "{key} was accepted");
    }
}

#[test]
fn a_key_that_only_looks_like_an_owned_one_is_accepted() {
    for key in ["saslish", "ssl.cipher.suites", "socket.keepalive.enable"] {
        assert!(!is_owned_client_key(key), "{key}");
        let pipeline = changed("/spec/kafka/clientConfig", json!({ key: "x" }));
        assert!(pipeline.validate_cel().is_ok(), "{key} was refused");
    }
}

#[test]
fn no_rule_of_the_schema_is_left_untested() {
    let mut messages = BTreeSet::new();
    collect(schema::pipeline_schema(), &mut messages);
    let RefusedDocuments { creation, change } = refused();
    let is_tested = |message: &&String| {
        let mut tested = creation.iter().chain(&change);
        tested.any(|refused| message.starts_with(&refused.message))
    };
    let untested: Vec<&String> = messages.iter().filter(|message| !is_tested(message)).collect();
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
