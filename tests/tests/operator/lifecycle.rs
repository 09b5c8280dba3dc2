//! A pipeline's life: applied, started, promoted, changed, rolled back, suspended.

use anyhow::{Context as _, Result};
use assay_tests::scratch::unique;

use serde_json::json;

use crate::lab::Lab;

#[test]
fn an_applied_pipeline_gets_its_topic_its_objects_and_its_first_live_revision() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let revision = lab.live(&lab.manifest("majors", &topic))?;

    let pipeline = lab.get("majors")?;
    let status = pipeline.status.context("a status")?;
    assert_eq!(status.topics[0].partitions, Some(3));
    assert_eq!(
        status.consumer_group,
        Some(format!("assay.{}.majors.{revision}", lab.namespace))
    );
    assert_eq!(status.lag.map(|lag| lag.total).as_deref(), Some("0"));
    assert_eq!(lab.replicas(&revision)?, Some(1));
    let promotions = lab
        .database
        .query("SELECT generation, revision, actor FROM assay.promotions")?;
    assert_eq!(promotions, [["1".to_owned(), revision, "operator".to_owned()]]);
    lab.until_condition("majors", "RolloutComplete", "True", "Live")?;
    lab.until_condition("majors", "SettingsValid", "True", "Valid")?;
    // Nothing runs pods here: the operator must say so instead of claiming readiness.
    let message = lab.until_condition("majors", "ProcessorsReady", "False", "NotReady")?;
    assert!(message.contains("kubectl"), "{message}");
    Ok(())
}

#[test]
fn r12_suspend_stops_processors_and_resume_goes_on_with_the_same_revision() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.patch("majors", &json!({"spec": {"suspend": true}}))?;
    lab.wait(
        "no replicas",
        || Ok((lab.replicas(&revision)? == Some(0)).then_some(())),
    )?;
    lab.until_condition("majors", "Ready", "False", "Suspended")?;
    lab.patch("majors", &json!({"spec": {"suspend": false}}))?;
    lab.wait("replicas again", || {
        Ok((lab.replicas(&revision)? == Some(1)).then_some(()))
    })?;
    assert_eq!(lab.instances()?.into_keys().collect::<Vec<_>>(), [revision]);
    Ok(())
}

#[test]
fn scale_is_obeyed_up_to_the_partitions_and_restarts_nothing() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    let before = lab.config_maps()?[0].metadata.name.clone();
    lab.kubernetes
        .kubectl(&["-n", &lab.namespace, "scale", "sp/majors", "--replicas=9"])?;
    lab.wait("three replicas", || {
        Ok((lab.replicas(&revision)? == Some(3)).then_some(()))
    })?;
    assert_eq!(lab.config_maps()?[0].metadata.name, before);
    Ok(())
}

#[test]
fn r2_drift_of_an_owned_object_heals() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.kubernetes.kubectl(&[
        "-n",
        &lab.namespace,
        "scale",
        &format!("deployment/majors-{revision}"),
        "--replicas=7",
    ])?;
    lab.wait("one replica again", || {
        Ok((lab.replicas(&revision)? == Some(1)).then_some(()))
    })?;
    Ok(())
}

#[test]
fn r2_a_paused_pipeline_is_left_alone() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    manifest["metadata"]["annotations"] = json!({"assay.dev/paused": "true"});
    lab.apply(&manifest)?;
    // A second pipeline that is not paused shows that the operator works meanwhile.
    lab.apply(&lab.manifest("other", &unique("raw.trades")))?;
    lab.until("other", "a status", |p| p.status.is_some())?;
    assert!(lab.get("majors")?.status.is_none());
    Ok(())
}

#[test]
fn r9_a_store_that_is_away_holds_and_says_so() -> Result<()> {
    let lab = Lab::start()?;
    lab.put_secret("results", "postgres://nobody:hunter2@127.0.0.1:1/none")?;
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    let message = lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    assert!(
        message.contains("spec.results.postgres.secret") && !message.contains("hunter2"),
        "{message}"
    );
    assert!(lab.deployments()?.is_empty());
    Ok(())
}

#[test]
fn r8_a_missing_secret_is_named_and_a_changed_one_rolls_the_pods() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    manifest["spec"]["results"]["redis"]["secret"]["name"] = json!("nowhere");
    lab.apply(&manifest)?;
    let message = lab.until_condition("majors", "Ready", "False", "SecretUnusable")?;
    assert!(message.contains("Secret nowhere is missing"), "{message}");
    lab.until_condition("majors", "Stalled", "True", "SecretUnusable")?;

    let hash = || -> Result<Option<String>> {
        let deployments = lab.deployments()?;
        let annotations = deployments
            .first()
            .and_then(|d| d.spec.as_ref()?.template.metadata.as_ref()?.annotations.clone());
        Ok(annotations.and_then(|all| all.get("assay.dev/secrets").cloned()))
    };
    lab.put_secret("nowhere", "redis://127.0.0.1:1/")?;
    let before = lab.wait("a Deployment", hash)?;
    lab.put_secret("nowhere", "redis://127.0.0.1:2/")?;
    // Secrets are re-read each minute.
    assay_tests::wait::until(std::time::Duration::from_secs(120), "another hash on the pods", || {
        Ok(hash()?.filter(|now| *now != before))
    })?;
    Ok(())
}
