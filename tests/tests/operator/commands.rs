//! The command line: `plan` touches nothing, `explain` says what to do, `uninstall` lets go or deletes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use assay_tests::scratch::{Scratch, unique};
use assay_tests::{Kafka, wait};
use serde_json::{Value, json};

use crate::lab::Lab;

fn plan(lab: &Lab, manifest: &Value) -> Result<String> {
    let folder = Scratch::new("plan")?;
    let file = folder.path().join("pipeline.json");
    std::fs::write(&file, manifest.to_string())?;
    lab.assay_without_namespace(&["plan", "-f", &file.display().to_string()])
}

#[test]
fn plan_of_a_new_pipeline_tells_topic_and_revision_and_makes_neither() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let told = plan(&lab, &lab.manifest("majors", &topic))?;
    assert!(
        told.contains(&format!("create topic {topic} with 3 partitions")),
        "{told}"
    );
    assert!(Kafka::shared()?.watermarks(&topic, 0).is_err());
    assert!(lab.is_gone("majors")?);
    Ok(())
}

#[test]
fn plan_tells_what_a_change_costs_and_what_it_leaves_alone() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    let live = lab.live(&manifest)?;
    assert!(plan(&lab, &manifest)?.contains(&format!("revision {live} stays live")));

    manifest["spec"]["settings"]["lateness"] = json!("3s");
    manifest["spec"]["processor"] = json!({"replicas": 2});
    let told = plan(&lab, &manifest)?;
    for part in [
        "a replay of 0 records",
        &format!("beside the live one ({live})"),
        "1 -> 2 processors",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(lab.instances()?.len(), 1, "a plan starts nothing");
    let all = lab.assay_without_namespace(&["plan", "--all"])?;
    assert!(all.contains(&format!("{}/majors", lab.namespace)), "{all}");
    Ok(())
}

#[test]
fn plan_names_an_older_pipeline_that_wants_the_topic_otherwise() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("older", &topic))?;
    lab.until_condition("older", "TopicsReady", "True", "Ready")?;
    let mut newer = lab.manifest("newer", &topic);
    newer["spec"]["source"]["partitions"] = json!(6);
    let told = plan(&lab, &newer)?;
    assert!(
        told.contains("/older") && told.contains("partitions 6 against 3"),
        "{told}"
    );
    Ok(())
}

#[test]
fn plan_refuses_what_the_api_server_would_refuse() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    lab.apply(&manifest)?;
    manifest["spec"]["source"]["partitions"] = json!(2);
    let error = plan(&lab, &manifest).unwrap_err().to_string();
    assert!(error.contains("partitions"), "{error}");
    Ok(())
}

#[test]
fn explain_begins_with_what_is_wrong() -> Result<()> {
    let lab = Lab::start()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.until_condition("majors", "ProcessorsReady", "False", "NotReady")?;
    let told = lab.assay(&["explain", "majors"])?;
    assert!(told.starts_with("!!") && told.contains("kubectl -n"), "{told}");
    assert!(
        told.contains("Topic ") && told.contains("is Live: 0 processors ready"),
        "{told}"
    );
    Ok(())
}

#[test]
fn uninstall_lets_go_and_leaves_processors_and_topics() -> Result<()> {
    let mut lab = Lab::start()?;
    let topic = unique("raw.trades");
    let revision = lab.live(&lab.manifest("majors", &topic))?;
    lab.operator.take().context("an operator")?.stop()?;
    lab.assay(&["uninstall", "--after-pods=app=assay-operator"])?;
    assert_eq!(lab.get("majors")?.metadata.finalizers, None);
    assert_eq!(lab.replicas(&revision)?, Some(1));
    Kafka::shared()?.watermarks(&topic, 0)?;
    Ok(())
}

#[test]
fn uninstall_may_delete_every_pipeline_and_waits_for_it() -> Result<()> {
    let lab = Lab::start()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.assay(&["uninstall", "--delete-pipelines", "--timeout=40s"])?;
    assert!(lab.is_gone("majors")?);
    wait::until(Duration::from_mins(1), "its Deployments to be gone", || {
        Ok(lab.deployments()?.is_empty().then_some(()))
    })
}
