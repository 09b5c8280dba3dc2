//! R1 and R2: what happened is timed, counted and told; what cannot be read is answered and blocks nobody.

use anyhow::Result;
use assay_tests::Kafka;
use assay_tests::scratch::unique;
use serde_json::{Value, json};

use crate::installation::Rights;
use crate::lab::Lab;

fn metric(lab: &Lab, name: &str) -> Result<Option<f64>> {
    let page = lab.operator()?.page("/metrics")?;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.and_then(|value| value.trim().parse().ok()))
}

#[test]
fn r1_passes_are_timed_by_phase_and_counted_by_outcome() -> Result<()> {
    let lab = Lab::start()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    for phase in ["dereference", "validate", "build", "apply", "status"] {
        let name = format!("assay_operator_reconcile_phase_seconds_count{{phase=\"{phase}\"}}");
        assert!(metric(&lab, &name)?.is_some_and(|count| count >= 1.0), "{name}");
    }
    let waiting = "assay_operator_reconciles_total{outcome=\"waiting\"}";
    assert!(metric(&lab, waiting)?.is_some_and(|count| count >= 1.0));
    lab.delete("majors")?;
    lab.wait_until_gone("majors")?;
    lab.wait("its figures to go", || {
        Ok((!lab.operator()?.page("/metrics")?.contains("pipeline=\"majors\"")).then_some(()))
    })
}

#[test]
fn r1_an_event_is_filed_again_only_when_its_message_changes() -> Result<()> {
    let lab = Lab::start()?;
    lab.put_secret("results", "not a url")?;
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    let notes = |what: &str, count| {
        lab.wait(what, || {
            Ok(Some(lab.events("StoreUnavailable")?).filter(|notes| notes.len() >= count))
        })
    };
    let first = notes("an event", 1)?;
    assert!(first[0].contains("spec.results.postgres.secret"), "{first:?}");
    // Several passes later it is still the only one.
    let passes = || metric(&lab, "assay_operator_reconciles_total{outcome=\"waiting\"}");
    let before = passes()?.unwrap_or_default();
    lab.wait("three more passes", || {
        Ok(passes()?.is_some_and(|now| now >= before + 3.0).then_some(()))
    })?;
    assert_eq!(lab.events("StoreUnavailable")?, first);
    lab.put_secret("results", "postgres://nobody@127.0.0.1:1/none")?;
    notes("another event", 2)?;
    Ok(())
}

#[test]
fn r1_the_log_is_json_and_its_level_changes_at_run_time() -> Result<()> {
    let lab = Lab::start()?;
    assert_eq!(lab.operator()?.set_log_level("debug")?, "set\n");
    assert!(lab.operator()?.set_log_level("assay_operator=loud").is_err());
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    let logs = lab.wait("a line of the new level", || {
        Ok(Some(lab.installation.logs()?).filter(|logs| logs.contains("\"DEBUG\"")))
    })?;
    // The last line may be half written.
    for line in logs.lines().take(logs.lines().count() - 1) {
        serde_json::from_str::<Value>(line)?;
    }
    Ok(())
}

/// An affinity is an open object to the API server, and a typed one to the operator.
fn undecodable(lab: &Lab, name: &str) -> Value {
    let mut manifest = lab.manifest(name, &unique("raw.trades"));
    manifest["spec"]["processor"] = json!({"pod": {"affinity": {"nodeAffinity": "oops"}}});
    manifest
}

fn ready_reason(lab: &Lab, name: &str) -> Result<String> {
    lab.kubectl(&[
        "get",
        "sp",
        name,
        "-o",
        "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}",
    ])
}

fn apply_text(lab: &Lab, manifest: &Value) -> Result<()> {
    let file = assay_tests::scratch::Scratch::new("manifest")?;
    let path = file.path().join("pipeline.json");
    std::fs::write(&path, manifest.to_string())?;
    lab.kubectl(&["apply", "--server-side", "-f", &path.display().to_string()])?;
    Ok(())
}

#[test]
fn r2_an_object_that_cannot_be_read_is_answered_and_blocks_nobody() -> Result<()> {
    let lab = Lab::start()?;
    let broken = undecodable(&lab, "broken");
    apply_text(&lab, &broken)?;
    lab.wait("an answer", || {
        Ok((ready_reason(&lab, "broken")? == "Undecodable").then_some(()))
    })?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    // Mended, it goes on like any other.
    let mut mended = broken;
    mended["spec"]["processor"] = json!({});
    apply_text(&lab, &mended)?;
    lab.until_condition("broken", "TopicsReady", "True", "Ready")?;
    Ok(())
}

#[test]
fn r6_an_object_that_cannot_be_read_any_more_can_still_be_deleted() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = undecodable(&lab, "majors");
    let broken = manifest.clone();
    manifest["spec"]["processor"] = json!({});
    apply_text(&lab, &manifest)?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    apply_text(&lab, &broken)?;
    lab.kubectl(&["delete", "sp", "majors", "--timeout=30s"])?;
    let note = lab.wait("a note", || lab.left_behind())?;
    assert!(note["everything"].contains("could not be read"), "{note:?}");
    lab.wait("its figures to go", || {
        Ok((!lab.operator()?.page("/metrics")?.contains("pipeline=\"majors\"")).then_some(()))
    })
}

#[test]
fn r2_an_object_that_can_neither_be_read_nor_answered_pauses_longer_and_longer() -> Result<()> {
    let lab = Lab::start()?;
    allow(
        &lab,
        &json!([
            {"apiGroups": ["assay.dev"], "resources": ["strategypipelines"], "verbs": ["*"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]),
    )?;
    apply_text(&lab, &undecodable(&lab, "broken"))?;
    lab.operator()?.wait_for_log("\"failures\":4,\"pause_s\":16")?;
    let told = lab.wait("an event", || Ok(lab.events("WriteRefused")?.pop()))?;
    assert!(
        told.contains("the status") && told.contains("check the operator's role"),
        "{told}"
    );
    Ok(())
}

#[test]
fn r2_failures_in_a_row_pause_longer_and_longer() -> Result<()> {
    let lab = Lab::start()?;
    // Without the right to write Deployments every pass fails at the same place.
    allow_with_deployments(&lab, &["get", "list", "watch"])?;
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    let message = lab.until_condition("majors", "Ready", "False", "ApplyFailed")?;
    assert!(
        message.contains("Deployment majors-") && message.contains("check the operator's role"),
        "{message}"
    );
    lab.operator()?.wait_for_log("\"failures\":4,\"pause_s\":16")?;
    assert!(!lab.events("WriteRefused")?.is_empty());
    Ok(())
}

#[test]
fn r2_a_pass_without_a_list_of_what_stands_says_so_and_writes_nothing() -> Result<()> {
    let mut lab = Lab::without_operator(Kafka::shared()?.bootstrap(), Rights::Namespace)?;
    allow_with_deployments(&lab, &["get", "create", "patch", "delete"])?;
    lab.start_operator()?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("majors", &topic))?;
    let told = lab.wait("an event", || Ok(lab.events("ReadRefused")?.pop()))?;
    assert!(
        told.contains("Deployments") && told.contains("check the operator's role"),
        "{told}"
    );
    assert!(
        lab.instances()?.is_empty(),
        "whoever does not know what stands starts nothing"
    );
    Ok(())
}

/// Gives the operator's role all that it needs, but of Deployments only these verbs.
fn allow_with_deployments(lab: &Lab, verbs: &[&str]) -> Result<()> {
    allow(
        lab,
        &json!([
            {"apiGroups": ["assay.dev"], "resources": ["strategypipelines", "strategypipelines/status"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
            {"apiGroups": ["", "policy", "networking.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]),
    )
}

/// Gives the operator's role these rules and no others.
fn allow(lab: &Lab, rules: &Value) -> Result<()> {
    let role = lab.kubectl(&["get", "roles", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let rules = json!([{"op": "add", "path": "/rules", "value": rules}]);
    lab.kubectl(&["patch", "role", &role, "--type=json", "-p", &rules.to_string()])?;
    Ok(())
}
