use super::*;
use crate::{RevisionInputs, load_pipeline};

const MAJORS: &str = include_str!("../../tests/documents/majors.yaml");
const FULL: &str = include_str!("../../tests/documents/full-v1.yaml");

fn settings(document: &str) -> SettingsSpec {
    load_pipeline(document).unwrap().spec.settings
}

fn hash(canonical: &str) -> String {
    RevisionInputs {
        settings: canonical,
        engine_semantics: 1,
        topic_identity: "AAAAAAAAAAAAAAAAAAAAAA",
        partitions: 12,
    }
    .hash()
}

#[test]
fn the_hash_of_a_document_of_the_first_release_never_changes() {
    // A failure means that every pipeline in the field would replay its log: make the new field an entry of
    // ADDED_SINCE_FIRST_RELEASE instead of changing this figure.
    assert_eq!(hash(&canonical_settings(&settings(FULL)).unwrap()), "f4627c3af5");
    assert_eq!(hash(&canonical_settings(&settings(MAJORS)).unwrap()), "fd7deb7f47");
}

#[test]
fn the_canonical_text_is_a_fixed_point() {
    let canonical = canonical_settings(&settings(FULL)).unwrap();
    let again: SettingsSpec = serde_json::from_str(&canonical).unwrap();
    assert_eq!(canonical_settings(&again).unwrap(), canonical);
}

#[test]
fn spelling_order_and_written_defaults_do_not_matter() {
    let plain = settings(MAJORS);
    let mut spelt = plain.clone();
    spelt.history_window = "167h60m".into();
    spelt.evaluation.volatility_multiple = "0.50".into();
    spelt.strategies.reverse();
    spelt.strategies[0].range_breakout = Some(RangeBreakoutSpec::default());
    assert_eq!(canonical_settings(&spelt), canonical_settings(&plain));
}

#[test]
fn switching_a_strategy_off_is_another_revision_and_keeps_it_in_the_text() {
    let plain = settings(MAJORS);
    let mut off = plain.clone();
    off.strategies[1].enabled = false;
    let text = canonical_settings(&off).unwrap();
    assert_ne!(text, canonical_settings(&plain).unwrap());
    assert!(text.contains("range-breakout"), "{text}");
    assert_eq!(validate_settings(&off).unwrap().strategies.len(), 1);
}

#[test]
fn a_later_field_at_its_neutral_value_leaves_no_trace() {
    let mut value = serde_json::json!({"lateness": "2s", "joined": false, "strategies": [{"name": "a", "decay": "1"}, {"name": "b", "decay": "2"}]});
    drop_later_additions(&mut value, &[("/joined", "false"), ("/strategies/*/decay", "\"1\"")]);
    assert_eq!(
        value,
        serde_json::json!({"lateness": "2s", "strategies": [{"name": "a"}, {"name": "b", "decay": "2"}]})
    );
}

#[test]
fn defaults_reach_the_engine_in_its_units() {
    let settings = validate_settings(&settings(MAJORS)).unwrap();
    assert_eq!(settings.lateness_us, 2_000_000);
    assert_eq!(settings.dedupe_window_us, 600_000_000);
    assert_eq!(
        (settings.vwap_window_s, settings.range_bar_s, settings.range_bars),
        (1800, 60, 20)
    );
    assert_eq!(settings.horizon_us, 300_000_000);
    assert_eq!(
        settings.strategies["range-breakout"],
        ValidatedStrategy::RangeBreakout {
            volume_ratio: 1.5,
            volume_bars: 20
        }
    );
}

#[test]
fn prices_of_a_symbol_are_exact() {
    let symbol = validate_settings(&settings(FULL)).unwrap().symbols["BTCUSDT"];
    assert_eq!(
        symbol,
        ValidatedSymbol {
            tick_size: Some(1_000_000),
            bucket_size: Some(1_000_000_000)
        }
    );
}

#[test]
fn all_findings_are_told_at_once() {
    let mut spec = settings(FULL);
    spec.lateness = "soon".into();
    spec.evaluation.horizon = "1500ms".into();
    spec.symbols[0].bucket_size = Some("0.015".into());
    let text = validate_settings(&spec).unwrap_err().to_string();
    for part in [
        "spec.settings.lateness: \"soon\" is not a duration",
        "closed seconds",
        "bucketSize: must be a whole number of ticks",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
