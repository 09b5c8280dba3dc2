//! Topics: created, gated on, adopted, shared, repaired.

use anyhow::{Context as _, Result};
use assay_tests::Kafka;
use assay_tests::scratch::unique;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;

use crate::lab::Lab;

/// A topic's setting as the broker has it.
fn setting(lab: &Lab, topic: &str, key: &str) -> Result<Option<String>> {
    let admin: AdminClient<DefaultClientContext> = Kafka::shared()?.client_config().create()?;
    let answers = lab
        .runtime
        .block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()))?;
    let resource = answers
        .into_iter()
        .next()
        .context("an answer")?
        .map_err(|code| anyhow::anyhow!("{code}"))?;
    Ok(resource.get(key).and_then(|entry| entry.value.clone()))
}

#[test]
fn r3_no_processor_starts_before_its_topic_is_as_stated() -> Result<()> {
    let lab = Lab::start()?;
    let topic = Kafka::shared()?.create_topic("raw.trades", 2)?;
    lab.apply(&lab.manifest("majors", &topic))?;
    let message = lab.until_condition("majors", "TopicsReady", "False", "TopicMismatch")?;
    assert!(message.contains("has 2 partitions, the manifest says 3"), "{message}");
    lab.until_condition("majors", "Stalled", "True", "TopicsNotReady")?;
    assert!(lab.deployments()?.is_empty());
    Ok(())
}

#[test]
fn r4_an_observed_topic_is_awaited_and_never_created() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let mut manifest = lab.manifest("majors", &topic);
    manifest["spec"]["source"]["management"] = json!("Observed");
    lab.apply(&manifest)?;
    lab.until_condition("majors", "TopicsReady", "False", "TopicMissing")?;
    Kafka::shared()?.create_topic_with(&topic, 3, &[("retention.ms", "864000000")])?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    Ok(())
}

#[test]
fn r4_the_older_pipeline_owns_a_shared_topic_and_hands_it_over_when_it_goes() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("a-older", &topic))?;
    lab.until_condition("a-older", "TopicsReady", "True", "Ready")?;
    // Creation times have seconds: the newer one must be in a later one.
    let older = lab.get("a-older")?.metadata.creation_timestamp.context("a time")?.0;
    let mut newer = lab.manifest("b-newer", &topic);
    newer["spec"]["source"]["config"] = json!({"retention.ms": "864000001"});
    lab.wait("the next second", || {
        Ok((k8s_openapi::jiff::Timestamp::now().as_second() > older.as_second()).then_some(()))
    })?;
    lab.apply(&newer)?;
    let message = lab.until_condition("b-newer", "TopicsReady", "False", "TopicConflict")?;
    assert!(message.contains("a-older"), "{message}");

    lab.delete("a-older")?;
    lab.wait("the older one to be gone", || Ok(lab.is_gone("a-older")?.then_some(())))?;
    lab.until_condition("b-newer", "TopicsReady", "True", "Ready")?;
    assert_eq!(setting(&lab, &topic, "retention.ms")?.as_deref(), Some("864000001"));
    Ok(())
}

#[test]
fn r5_drift_is_repaired_and_a_foreign_key_survives() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    Kafka::shared()?.create_topic_with(&topic, 3, &[("retention.ms", "864000000"), ("segment.ms", "7654321")])?;
    let mut manifest = lab.manifest("majors", &topic);
    lab.apply(&manifest)?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;

    manifest["spec"]["source"]["config"]["retention.ms"] = json!("900000000");
    lab.apply(&manifest)?;
    lab.wait("the repaired key", || {
        Ok(setting(&lab, &topic, "retention.ms")?.filter(|value| value == "900000000"))
    })?;
    assert_eq!(setting(&lab, &topic, "segment.ms")?.as_deref(), Some("7654321"));
    Ok(())
}

#[test]
fn a_topic_created_anew_starts_a_new_revision() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("majors", &topic))?;
    let first = lab.wait("the first instance", || Ok(lab.instances()?.into_values().next()))?;
    Kafka::shared()?.start_deleting_topic(&topic)?;
    let second = lab.wait("another revision", || {
        Ok(lab
            .instances()?
            .into_values()
            .find(|instance| instance.topic_identity != first.topic_identity))
    })?;
    assert_ne!(second.revision, first.revision);
    Ok(())
}
