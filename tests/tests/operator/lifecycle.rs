//! A pipeline's life: applied, started, promoted, changed, rolled back, suspended.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use assay_tests::scratch::unique;
use kube::ResourceExt;
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
fn what_pods_of_the_old_form_mount_stays_until_none_of_them_runs() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    let deployment = format!("deployment/majors-{revision}");
    lab.kubectl(&["rollout", "pause", &deployment])?;
    let seen =
        "jsonpath={.metadata.generation}/{.status.observedGeneration} {.spec.replicas}/{.status.updatedReplicas}";
    lab.wait("a Deployment at rest", || {
        let seen = lab.kubectl(&["get", &deployment, "-o", seen])?;
        let equal = |pair: &str| pair.split_once('/').is_some_and(|(left, right)| left == right);
        Ok(seen.split_whitespace().all(equal).then_some(()))
    })?;
    let before = names_of_config_maps(&lab)?;
    lab.patch(
        "majors",
        &json!({"spec": {"processor": {"commit": {"interval": "250ms"}}}}),
    )?;
    // The status of the pass that wrote the new form tells that the pass is over.
    lab.until_condition("majors", "SettingsValid", "True", "Valid")?;
    let during = names_of_config_maps(&lab)?;
    assert_eq!((before.len(), during.len()), (1, 2));
    assert!(during.is_superset(&before), "pods that restart need {before:?}");
    lab.kubectl(&["rollout", "resume", &deployment])?;
    lab.wait("the old ConfigMap to go", || {
        let after = names_of_config_maps(&lab)?;
        Ok((after.len() == 1 && after.is_disjoint(&before)).then_some(()))
    })
}

fn names_of_config_maps(lab: &Lab) -> Result<BTreeSet<String>> {
    Ok(lab.config_maps()?.iter().map(ResourceExt::name_any).collect())
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
fn r11_a_pipeline_created_anew_under_its_old_name_starts_without_the_old_results() -> Result<()> {
    let lab = Lab::start()?;
    let manifest = lab.manifest("majors", &unique("raw.trades"));
    let revision = lab.live(&manifest)?;
    let first = lab.get("majors")?.metadata.uid;
    lab.delete("majors")?;
    lab.wait_until_gone("majors")?;

    // Settings and topic are the same, and so is the name of the revision; its rows belong to another object.
    let uid = lab.apply(&manifest)?.metadata.uid.context("a uid")?;
    assert_ne!(Some(&uid), first.as_ref());
    let instance = lab.wait("an instance of its own", || {
        let instances = lab.instances()?.into_values();
        Ok(instances.into_iter().find(|instance| instance.pipeline == uid))
    })?;
    assert_eq!(instance.revision, revision);
    lab.register(&instance)?;
    lab.until_live("majors", &revision)?;
    let owners = lab
        .database
        .query("SELECT count(DISTINCT pipeline) FROM assay.promotions WHERE generation = 1")?;
    assert_eq!(owners, [["2".to_owned()]]);
    Ok(())
}

#[test]
fn r11_without_tables_processors_start_and_migrate_and_where_they_may_not_it_says_what_to_run() -> Result<()> {
    let lab = Lab::start()?;
    lab.database.execute("DROP SCHEMA assay CASCADE")?;
    let mut manifest = lab.manifest("external", &unique("raw.trades"));
    manifest["spec"]["results"]["postgres"]["migrations"] = json!("External");
    lab.apply(&manifest)?;
    lab.apply(&lab.manifest("auto", &unique("raw.trades")))?;
    let message = lab.until_condition("external", "SchemaOutdated", "True", "Missing")?;
    assert!(message.contains("assay migrate --print-sql"), "{message}");
    let with_migration = |name: &str| -> Result<Option<bool>> {
        let deployments = lab.deployments()?;
        let ours = deployments
            .iter()
            .find(|d| d.metadata.name.as_deref().is_some_and(|n| n.starts_with(name)));
        Ok(ours.map(|d| {
            d.spec
                .as_ref()
                .is_some_and(|s| s.template.spec.as_ref().is_some_and(|p| p.init_containers.is_some()))
        }))
    };
    assert!(lab.wait("its Deployment", || with_migration("auto"))?);
    assert!(!lab.wait("its Deployment", || with_migration("external"))?);
    Ok(())
}
