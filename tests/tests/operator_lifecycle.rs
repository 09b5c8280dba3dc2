//! A pipeline's life: applied, started, promoted, changed, rolled back, suspended.

mod operator_lab;

use anyhow::{Context as _, Result};
use assay_tests::scratch::unique;
use operator_lab::Lab;
use serde_json::json;

fn replicas(lab: &Lab, revision: &str) -> Result<Option<i32>> {
    let suffix = format!("-{revision}");
    let named = |d: &&k8s_openapi::api::apps::v1::Deployment| {
        d.metadata.name.as_deref().is_some_and(|name| name.ends_with(&suffix))
    };
    Ok(lab
        .deployments()?
        .iter()
        .find(named)
        .and_then(|d| d.spec.as_ref()?.replicas))
}

/// Applies a pipeline and brings its first revision to life; gives the revision.
fn live(lab: &Lab, name: &str, topic: &str) -> Result<String> {
    lab.apply(&lab.manifest(name, topic))?;
    let instance = lab.wait("the first instance", || Ok(lab.instances()?.into_values().next()))?;
    lab.register(&instance)?;
    let revision = instance.revision;
    lab.until(name, "the first revision to be live", |p| {
        p.status
            .as_ref()
            .is_some_and(|s| s.live_revision.as_ref() == Some(&revision))
    })?;
    Ok(revision)
}

#[test]
fn an_applied_pipeline_gets_its_topic_its_objects_and_its_first_live_revision() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let revision = live(&lab, "majors", &topic)?;

    let pipeline = lab.get("majors")?;
    let status = pipeline.status.context("a status")?;
    assert_eq!(status.topics[0].partitions, Some(3));
    assert_eq!(
        status.consumer_group,
        Some(format!("assay.{}.majors.{revision}", lab.namespace))
    );
    assert_eq!(status.lag.map(|lag| lag.total).as_deref(), Some("0"));
    assert_eq!(replicas(&lab, &revision)?, Some(1));
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
fn changed_settings_run_beside_the_live_revision_until_they_have_caught_up_and_can_be_taken_back() -> Result<()> {
    let lab = Lab::start()?;
    let first = live(&lab, "majors", &unique("raw.trades"))?;
    lab.progress(&first, 0, 1_000)?;

    lab.patch("majors", &json!({"spec": {"settings": {"lateness": "3s"}}}))?;
    let second = lab.wait("a second instance", || {
        Ok(lab.instances()?.into_keys().find(|revision| *revision != first))
    })?;
    let instance = lab.instances()?.remove(&second).context("the second instance")?;
    lab.register(&instance)?;
    lab.database.execute(&format!(
        "UPDATE assay.progress SET next_offset = 5 WHERE revision = '{first}'"
    ))?;
    lab.progress(&second, 0, 900)?;
    lab.until("majors", "a candidate", |p| {
        p.status
            .as_ref()
            .is_some_and(|s| s.candidate_revision.as_ref() == Some(&second))
    })?;
    assert_eq!((replicas(&lab, &first)?, replicas(&lab, &second)?), (Some(1), Some(1)));

    lab.progress(&second, 4, 998)?;
    let is_live = |revision: &str| {
        let revision = revision.to_owned();
        move |p: &assay_crds::StrategyPipeline| {
            p.status
                .as_ref()
                .is_some_and(|s| s.live_revision.as_ref() == Some(&revision))
        }
    };
    lab.until("majors", "the second revision to be live", is_live(&second))?;
    lab.wait("the first revision to be gone", || {
        Ok(replicas(&lab, &first)?.is_none().then_some(()))
    })?;

    lab.patch(
        "majors",
        &json!({"metadata": {"annotations": {"assay.dev/promote": first, "assay.dev/reject": second}}}),
    )?;
    lab.until("majors", "the first revision to be live again", is_live(&first))?;
    lab.wait("the second revision to be gone", || {
        Ok(replicas(&lab, &second)?.is_none().then_some(()))
    })?;
    lab.until_condition("majors", "RolloutComplete", "False", "Rejected")?;
    let generations = lab
        .database
        .query("SELECT generation, revision, actor FROM assay.promotions ORDER BY generation")?;
    let actors: Vec<&str> = generations.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(actors, ["operator", "operator", "person"]);
    Ok(())
}

#[test]
fn r12_suspend_stops_processors_and_resume_goes_on_with_the_same_revision() -> Result<()> {
    let lab = Lab::start()?;
    let revision = live(&lab, "majors", &unique("raw.trades"))?;
    lab.patch("majors", &json!({"spec": {"suspend": true}}))?;
    lab.wait("no replicas", || {
        Ok((replicas(&lab, &revision)? == Some(0)).then_some(()))
    })?;
    lab.until_condition("majors", "Ready", "False", "Suspended")?;
    lab.patch("majors", &json!({"spec": {"suspend": false}}))?;
    lab.wait("replicas again", || {
        Ok((replicas(&lab, &revision)? == Some(1)).then_some(()))
    })?;
    assert_eq!(lab.instances()?.into_keys().collect::<Vec<_>>(), [revision]);
    Ok(())
}

#[test]
fn scale_is_obeyed_up_to_the_partitions_and_restarts_nothing() -> Result<()> {
    let lab = Lab::start()?;
    let revision = live(&lab, "majors", &unique("raw.trades"))?;
    let before = lab.config_maps()?[0].metadata.name.clone();
    lab.kubernetes
        .kubectl(&["-n", &lab.namespace, "scale", "sp/majors", "--replicas=9"])?;
    lab.wait("three replicas", || {
        Ok((replicas(&lab, &revision)? == Some(3)).then_some(()))
    })?;
    assert_eq!(lab.config_maps()?[0].metadata.name, before);
    Ok(())
}

#[test]
fn r2_drift_of_an_owned_object_heals() -> Result<()> {
    let lab = Lab::start()?;
    let revision = live(&lab, "majors", &unique("raw.trades"))?;
    lab.kubernetes.kubectl(&[
        "-n",
        &lab.namespace,
        "scale",
        &format!("deployment/majors-{revision}"),
        "--replicas=7",
    ])?;
    lab.wait("one replica again", || {
        Ok((replicas(&lab, &revision)? == Some(1)).then_some(()))
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
