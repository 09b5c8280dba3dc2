//! R6 and R7: deletion never wedges, whatever is away.

mod operator_lab;

use anyhow::{Context as _, Result};
use assay_tests::Kafka;
use assay_tests::scratch::unique;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use operator_lab::{LIMIT, Lab};
use serde_json::json;

fn topic_exists(topic: &str) -> Result<bool> {
    // The harness answers for topics that are there, and fails for others.
    Ok(Kafka::shared()?.watermarks(topic, 0).is_ok())
}

#[test]
fn r6_a_retained_topic_stays_and_a_topic_to_delete_goes() -> Result<()> {
    let lab = Lab::start()?;
    let (kept, doomed) = (unique("raw.kept"), unique("raw.doomed"));
    lab.apply(&lab.manifest("keeps", &kept))?;
    let mut manifest = lab.manifest("deletes", &doomed);
    manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.apply(&manifest)?;
    for name in ["keeps", "deletes"] {
        lab.until_condition(name, "TopicsReady", "True", "Ready")?;
        lab.delete(name)?;
        lab.wait("the pipeline to be gone", || Ok(lab.is_gone(name)?.then_some(())))?;
    }
    assert!(topic_exists(&kept)?);
    lab.wait("the topic to be gone", || Ok((!topic_exists(&doomed)?).then_some(())))?;
    Ok(())
}

#[test]
fn r6_with_the_broker_gone_it_lets_go_and_names_what_it_left_behind() -> Result<()> {
    let lab = Lab::with_brokers("127.0.0.1:1".to_owned())?;
    let mut manifest = lab.manifest("majors", "raw.trades");
    manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.apply(&manifest)?;
    lab.until_condition("majors", "TopicsReady", "Unknown", "TopicUnknown")?;
    lab.delete("majors")?;
    assay_tests::wait::until(LIMIT * 3, "the pipeline to be gone", || {
        Ok(lab.is_gone("majors")?.then_some(()))
    })?;
    let api: Api<ConfigMap> = lab.api();
    let maps = lab.runtime.block_on(api.list(&ListParams::default()))?;
    let note = maps.items.into_iter().find(|map| {
        map.metadata
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with("assay-left-behind"))
    });
    let data = note
        .and_then(|map| map.data)
        .context("a note of what was left behind")?;
    assert!(data.contains_key("topic.raw.trades"), "{data:?}");
    Ok(())
}

#[test]
fn r7_a_namespace_deleted_while_the_operator_was_away_goes_when_it_is_back() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    lab.kill_operator()?;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    lab.runtime
        .block_on(namespaces.delete(&lab.namespace, &DeleteParams::default()))?;
    lab.wait("the deletion to reach the pipeline", || {
        Ok(lab.get("majors")?.metadata.deletion_timestamp.map(drop))
    })?;
    // Its own namespace is going: a lease could not be made there any more.
    lab.start_operator_elsewhere()?;
    assay_tests::wait::until(LIMIT * 2, "the namespace to be gone", || {
        Ok(lab
            .runtime
            .block_on(namespaces.get_opt(&lab.namespace))?
            .is_none()
            .then_some(()))
    })?;
    Ok(())
}
