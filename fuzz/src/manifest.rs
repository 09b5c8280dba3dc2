//! Manifests: any text is read or refused by name, and what is read has one canonical form and one revision.

mod edits;

use arbitrary::Unstructured;
use assay_crds::document::check_document;
use assay_crds::spec::SettingsSpec;
use assay_crds::{
    ENGINE_SEMANTICS, Problems, RevisionInputs, StrategyPipeline, canonical_settings, load_pipelines, validate_settings,
};
use serde_json::Value;

/// Fields at the top of a document, and what a finding about no single field says.
const ROOTS: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "status", "document"];

/// The first byte chooses: the rest is a text, or edits of a right document.
pub fn check(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    if choice % 2 == 0 {
        if let Ok(text) = std::str::from_utf8(rest) {
            check_text(text);
        }
    } else {
        check_edited(&edits::edited(&mut Unstructured::new(rest)));
    }
}

fn check_text(text: &str) {
    match load_pipelines(text) {
        Ok(pipelines) => pipelines.iter().for_each(check_pipeline),
        Err(problems) => check_problems(&problems),
    }
}

/// The document as a value and as a text is one thing.
fn check_edited(document: &Value) {
    let checked = check_document(document);
    match &checked {
        Ok(pipeline) => {
            check_pipeline(pipeline);
            let text = document.to_string();
            if text.chars().all(is_yaml) && has_short_keys(document) {
                assert_eq!(load_pipelines(&text).as_deref(), Ok(std::slice::from_ref(pipeline)));
            }
        }
        Err(problems) => check_problems(problems),
    }
}

/// Whether YAML may hold a character as it is; JSON may hold more of them (<https://yaml.org/spec/1.2.2/#51-character-set>).
fn is_yaml(character: char) -> bool {
    character == '\u{85}' || !(character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}'))
}

/// Whether every key is one that YAML recognises without a mark (<https://yaml.org/spec/1.2.2/#742-flow-mappings>): as JSON writes it,
/// it may have 1,024 characters.
fn has_short_keys(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| Value::from(key.as_str()).to_string().chars().count() <= 1024 && has_short_keys(value)),
        Value::Array(items) => items.iter().all(has_short_keys),
        _ => true,
    }
}

/// Every finding names a field and says something.
fn check_problems(problems: &Problems) {
    assert!(!problems.as_slice().is_empty());
    for problem in problems.as_slice() {
        assert!(
            !problem.path.trim().is_empty() && !problem.message.trim().is_empty(),
            "{problem:?}"
        );
        let is_unknown = problem.message.contains("is not a known field");
        let is_rooted = ROOTS.iter().any(|root| problem.path.starts_with(root));
        assert!(is_rooted || is_unknown, "{problem:?}");
    }
}

/// What is valid survives being written, and its canonical settings are settings of the same revision.
fn check_pipeline(pipeline: &StrategyPipeline) {
    let written = serde_json::to_value(pipeline).expect("a pipeline is JSON");
    assert_eq!(check_document(&written).as_ref(), Ok(pipeline), "{written}");
    let canonical = canonical_settings(&pipeline.spec.settings).expect("valid settings");
    let settings: SettingsSpec = serde_json::from_str(&canonical).expect("canonical settings are settings");
    assert_eq!(validate_settings(&settings), validate_settings(&pipeline.spec.settings));
    let mut again = pipeline.clone();
    again.spec.settings = settings;
    let again = serde_json::to_value(again).expect("a pipeline is JSON");
    let again = check_document(&again).unwrap_or_else(|problems| panic!("{canonical}: {problems}"));
    let canonical_again = canonical_settings(&again.spec.settings).expect("valid settings");
    assert_eq!(canonical, canonical_again);
    assert_eq!(hash(pipeline, &canonical), hash(&again, &canonical_again));
}

fn hash(pipeline: &StrategyPipeline, settings: &str) -> String {
    let inputs = RevisionInputs {
        settings,
        engine_semantics: ENGINE_SEMANTICS,
        topic_identity: "topic",
        partitions: pipeline.spec.source.partitions,
    };
    inputs.hash()
}
