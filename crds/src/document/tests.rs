use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const MAJORS: &str = include_str!("../../tests/documents/majors.yaml");
const FULL: &str = include_str!("../../tests/documents/full-v1.yaml");

/// The full document with one field changed.
fn changed(pointer: &str, value: Value) -> Value {
    let mut document: Value = serde_saphyr::from_str(FULL).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document
}

fn findings(document: &Value) -> String {
    check_document(document)
        .expect_err("the document should be refused")
        .to_string()
}

#[rstest]
#[case(MAJORS)]
#[case(FULL)]
fn a_right_document_is_read(#[case] text: &str) {
    load_pipeline(text).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn json_is_read_as_well() {
    let document: Value = serde_saphyr::from_str(FULL).unwrap();
    assert_eq!(
        load_pipeline(&document.to_string()).unwrap(),
        load_pipeline(FULL).unwrap()
    );
}

#[test]
fn documents_of_other_kinds_beside_it_are_left_alone() {
    let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: results}}\n---\n{MAJORS}");
    assert_eq!(load_pipeline(&text).unwrap(), load_pipeline(MAJORS).unwrap());
}

#[test]
fn a_text_without_a_pipeline_says_what_is_wanted() {
    let problems = load_pipeline("kind: Secret\n").unwrap_err();
    assert!(problems.to_string().contains("kind: StrategyPipeline"), "{problems}");
}

#[rstest]
#[case("/spec/settings/latenes", json!("2s"), "spec.settings.latenes: is not a known field; did you mean lateness?")]
#[case("/spec/settings/strategies/0/vwapReversion/entryz", json!("2"), "did you mean entryZ?")]
#[case("/spec/colour", json!("red"), "spec.colour: is not a known field; known here: deadLetters, kafka")]
#[case("/spec/settings/evaluation/volatilityMultiple", json!(0.5), "must be text: write \"0.5\" in quotes")]
#[case("/spec/source/partitions", json!("12"), "spec.source.partitions: must be of type integer")]
#[case("/spec/source/partitions", json!(0), "0 is too small; at least 1")]
#[case("/spec/source/topic", json!("raw trades"), "spec.source.topic: \"raw trades\" has not the right form; write letters, digits")]
#[case("/spec/kafka/bootstrapServers", json!("kafka"), "bootstrapServers: \"kafka\" has not the right form; write HOST:PORT")]
#[case("/spec/settings/strategies", json!([]), "has 0 elements; at least 1")]
#[case("/spec/settings/strategies/0/type", json!("VwapReversal"), "did you mean VwapReversion?")]
#[case(
    "/spec/kafka/security/credentialsSecret",
    Value::Null,
    "credentialsSecret: is empty; give it a value or remove it"
)]
#[case("/spec/results/postgres", json!({}), "spec.results.postgres.secret: is missing")]
#[case("/apiVersion", json!("assay.dev/v1"), "apiVersion: \"assay.dev/v1\" is not one of assay.dev/v1alpha1")]
fn a_wrong_shape_is_told_with_path_and_remedy(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    let text = findings(&changed(pointer, value));
    assert!(text.contains(part), "{part:?} is missing in:\n{text}");
}

#[rstest]
#[case(json!(7), "document: must be a block of named fields")]
#[case(json!({"kind": "StrategyPipeline", "": 1}), "\"\": is not a known field")]
#[case(json!({"kind": "StrategyPipeline", "\r": 1}), "\"\\r\": is not a known field")]
fn a_finding_at_the_root_names_its_place(#[case] document: Value, #[case] part: &str) {
    let text = findings(&document);
    assert!(text.contains(part), "{part:?} is missing in:\n{text}");
}

#[rstest]
#[case("/spec/settings/historyWindow", json!("2d"))]
#[case("/spec/results/retention", json!("2d"))]
#[case("/spec/rollout/maxWait", json!("two"))]
#[case("/spec/settings/evaluation/volatilityMultiple", json!("much"))]
fn one_mistake_is_one_finding(#[case] pointer: &str, #[case] value: Value) {
    let problems = check_document(&changed(pointer, value)).unwrap_err();
    assert_eq!(problems.as_slice().len(), 1, "{problems}");
}

#[test]
fn a_key_that_is_there_twice_is_told_without_words_for_programmers() {
    let text = load_pipeline("kind: StrategyPipeline\nkind: StrategyPipeline\n")
        .unwrap_err()
        .to_string();
    assert!(text.contains("duplicate mapping key: kind; keep one"), "{text}");
    assert!(!text.contains("Options"), "{text}");
}

#[test]
fn two_strategies_of_one_name_are_refused() {
    let twice = json!([{"name": "a", "type": "RangeBreakout"}, {"name": "a", "type": "VwapReversion"}]);
    let text = findings(&changed("/spec/settings/strategies", twice));
    assert!(
        text.contains("spec.settings.strategies[1]: name \"a\" is there twice"),
        "{text}"
    );
}

#[test]
fn findings_of_every_kind_are_told_together() {
    let mut document = changed("/spec/settings/latenes", json!("2s"));
    document["spec"]["source"]["config"]["cleanup.policy"] = json!("compact");
    document["spec"]["settings"]["historyWindow"] = json!("240h");
    let text = findings(&document);
    for part in [
        "did you mean lateness?",
        "cleanup.policy must be delete",
        "0.8 of source.config[retention.ms], which is 192h",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn an_unlimited_retention_holds_any_history() {
    let mut document = changed("/spec/source/config/retention.ms", json!("-1"));
    document["spec"]["settings"]["historyWindow"] = json!("9000h");
    check_document(&document).unwrap();
}
