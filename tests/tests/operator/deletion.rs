//! R6 and R7: deletion never wedges, whatever is away.

use anyhow::Result;
use assay_tests::Kafka;
use assay_tests::scratch::unique;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::installation::Rights;
use crate::lab::Lab;

fn topic_exists(topic: &str) -> bool {
    // The harness answers for topics that are there, and fails for others.
    Kafka::shared().is_ok_and(|kafka| kafka.watermarks(topic, 0).is_ok())
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
        lab.wait_until_gone(name)?;
    }
    assert!(topic_exists(&kept));
    lab.wait("the topic to be gone", || Ok((!topic_exists(&doomed)).then_some(())))?;
    assert_eq!(lab.left_behind()?, None);
    Ok(())
}

#[test]
fn r6_a_topic_that_another_pipeline_names_is_not_deleted() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.shared");
    for name in ["a", "b"] {
        let mut manifest = lab.manifest(name, &topic);
        manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
        lab.apply(&manifest)?;
        lab.until_condition(name, "TopicsReady", "True", "Ready")?;
    }
    lab.delete("a")?;
    lab.wait_until_gone("a")?;
    assert!(topic_exists(&topic));
    lab.delete("b")?;
    lab.wait("the topic to be gone", || Ok((!topic_exists(&topic)).then_some(())))
}

#[test]
fn r6_a_topic_that_another_pipeline_only_looks_at_is_not_deleted() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.shared");
    let mut owner = lab.manifest("owner", &topic);
    owner["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.apply(&owner)?;
    lab.until_condition("owner", "TopicsReady", "True", "Ready")?;
    let mut reader = lab.manifest("reader", &topic);
    reader["spec"]["source"]["management"] = json!("Observed");
    lab.apply(&reader)?;
    lab.until_condition("reader", "TopicsReady", "True", "Ready")?;
    lab.delete("owner")?;
    lab.wait_until_gone("owner")?;
    assert!(topic_exists(&topic));
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
    lab.wait_until_gone("majors")?;
    let note = lab.wait("a note of what was left behind", || lab.left_behind())?;
    assert!(note["topic.raw.trades"].contains("cannot be reached"), "{note:?}");
    assert_eq!(note["pipeline"], format!("{}/majors", lab.namespace));
    let events = lab.wait("an event", || {
        Ok(Some(lab.events("LeftBehind")?).filter(|notes| !notes.is_empty()))
    })?;
    assert!(events[0].contains("topic.raw.trades"), "{events:?}");
    Ok(())
}

#[test]
fn r6_with_the_store_gone_it_lets_go() -> Result<()> {
    let lab = Lab::start()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.put_secret("results", "postgres://nobody@127.0.0.1:1/none")?;
    lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    lab.delete("majors")?;
    lab.wait_until_gone("majors")?;
    lab.wait("its Deployments to be gone", || {
        Ok(lab.deployments()?.is_empty().then_some(()))
    })
}

#[test]
fn r6_with_its_secrets_gone_first_it_still_cleans_up_at_brokers_that_need_none() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.doomed");
    let mut manifest = lab.manifest("majors", &topic);
    manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.live(&manifest)?;
    lab.kubectl(&["delete", "secret", "results", "latest"])?;
    let message = lab.until_condition("majors", "Ready", "False", "SecretUnusable")?;
    assert!(message.contains("spec.results.postgres.secret"), "{message}");
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    lab.delete("majors")?;
    lab.wait_until_gone("majors")?;
    assert_eq!(lab.left_behind()?, None);
    lab.wait("the topic to be gone", || Ok((!topic_exists(&topic)).then_some(())))
}

/// Deletes the namespace and runs `meanwhile` once the deletion has reached the pipeline; the namespace has to go.
fn delete_namespace(lab: &mut Lab, meanwhile: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    lab.runtime
        .block_on(namespaces.delete(&lab.namespace, &DeleteParams::default()))?;
    meanwhile(lab)?;
    lab.wait("the namespace to be gone", || {
        let namespace = lab.runtime.block_on(namespaces.get_opt(&lab.namespace))?;
        Ok(namespace.is_none().then_some(()))
    })
}

fn deletion_reaches_the_pipeline(lab: &Lab) -> Result<()> {
    lab.wait("the deletion to reach the pipeline", || {
        Ok(lab.get("majors")?.metadata.deletion_timestamp.map(drop))
    })
}

#[test]
fn r7_a_namespace_deleted_while_the_operator_was_away_goes_when_it_is_back() -> Result<()> {
    // Roles inside the namespace would go before its pipelines: only cluster-wide rights outlive it.
    let mut lab = Lab::without_operator(Kafka::shared()?.bootstrap(), Rights::Cluster)?;
    lab.start_operator()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.kill_operator()?;
    delete_namespace(&mut lab, |lab| {
        deletion_reaches_the_pipeline(lab)?;
        lab.start_operator()
    })
}

#[test]
fn r7_a_namespace_that_lost_its_operator_goes_by_the_command_of_the_manual() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.kill_operator()?;
    delete_namespace(&mut lab, |lab| {
        deletion_reaches_the_pipeline(lab)?;
        let nobody = r#"{"metadata":{"finalizers":null}}"#;
        lab.kubectl(&[
            "patch",
            "strategypipeline.assay.dev/majors",
            "--type=merge",
            "-p",
            nobody,
        ])?;
        Ok(())
    })
}
