//! Topics: created, gated on, adopted, shared, repaired.

use anyhow::{Context as _, Result};
use assay_tests::Kafka;
use assay_tests::kafka::{Extras, NewRecord};
use assay_tests::scratch::unique;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;

use crate::lab::{Lab, condition};

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
fn r5_a_setting_that_the_brokers_write_otherwise_is_told_and_stops_nobody() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    manifest["spec"]["source"]["config"]["preallocate"] = json!("False");
    lab.live(&manifest)?;
    let message = lab.until_condition("majors", "TopicsReady", "False", "TopicDrifted")?;
    assert!(message.contains("accepted preallocate=False on topic"), "{message}");
    manifest["spec"]["source"]["config"]["preallocate"] = json!("false");
    lab.apply(&manifest)?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
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
fn r4_an_observed_topic_is_neither_changed_nor_deleted() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    Kafka::shared()?.create_topic_with(&topic, 3, &[("retention.ms", "700000000")])?;
    let mut manifest = lab.manifest("majors", &topic);
    manifest["spec"]["source"]["management"] = json!("Observed");
    manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.apply(&manifest)?;
    let message = lab.until_condition("majors", "TopicsReady", "False", "TopicMismatch")?;
    assert!(
        message.contains("lacks retention.ms=864000000; let its owner set it"),
        "{message}"
    );
    manifest["spec"]["source"]["config"] = json!({"retention.ms": "700000000"});
    lab.apply(&manifest)?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    lab.delete("majors")?;
    lab.wait_until_gone("majors")?;
    assert_eq!(setting(&lab, &topic, "retention.ms")?.as_deref(), Some("700000000"));
    Ok(())
}

#[test]
fn r4_a_managed_topic_that_was_there_before_is_adopted_with_its_records() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    Kafka::shared()?.create_topic_with(&topic, 3, &[])?;
    produce(&topic, 9)?;
    lab.apply(&lab.manifest("majors", &topic))?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    // What the manifest states is set; what was written before is history to replay.
    assert_eq!(setting(&lab, &topic, "retention.ms")?.as_deref(), Some("864000000"));
    let instance = lab.instance_beside(&[])?;
    let offsets = instance.offsets.iter().map(|o| (o.start_offset, o.live_from_offset));
    assert_eq!(offsets.collect::<Vec<_>>(), [(0, 3); 3]);
    Ok(())
}

/// So many records, dealt out to three partitions.
fn produce(topic: &str, records: i32) -> Result<()> {
    let record = |number: i32| NewRecord {
        partition: Some(number % 3),
        value: b"{}".to_vec(),
        ..NewRecord::default()
    };
    Kafka::shared()?.produce(topic, (0..records).map(record))
}

#[test]
fn brokers_that_create_topics_by_themselves_are_told_of() -> Result<()> {
    let kafka = Kafka::start_with(&Extras {
        properties: "auto.create.topics.enable=true".into(),
        ..Extras::default()
    })?;
    let lab = Lab::with_brokers(kafka.bootstrap())?;
    lab.apply(&lab.manifest("majors", "raw.trades"))?;
    let message = lab.until_condition("majors", "BrokerAutoCreation", "True", "Enabled")?;
    assert!(message.contains("set auto.create.topics.enable=false"), "{message}");
    // It is a warning: the topic is made as stated before anybody can make it otherwise.
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    assert_eq!(kafka.log_ends("raw.trades", 3)?, [0; 3]);
    let orderly = Lab::start()?;
    orderly.apply(&orderly.manifest("majors", &unique("raw.trades")))?;
    orderly.until_condition("majors", "TopicsReady", "True", "Ready")?;
    assert_eq!(condition(&orderly.get("majors")?, "BrokerAutoCreation"), None);
    Ok(())
}

#[test]
fn a_topic_created_anew_starts_a_new_revision_at_the_start_of_the_new_log() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("majors", &topic))?;
    let first = lab.wait("the first instance", || Ok(lab.instances()?.into_values().next()))?;
    produce(&topic, 30)?;
    // The operator has seen the old log's end, and may remember it for some seconds.
    lab.register(&first)?;
    lab.until_live("majors", &first.revision)?;
    lab.until("majors", "the old log's lag", |p| {
        let lag = p.status.as_ref().and_then(|status| status.lag.as_ref());
        lag.is_some_and(|lag| lag.total == "30")
    })?;
    Kafka::shared()?.start_deleting_topic(&topic)?;
    let second = lab.wait("another revision", || {
        Ok(lab
            .instances()?
            .into_values()
            .find(|instance| instance.topic_identity != first.topic_identity))
    })?;
    assert_ne!(second.revision, first.revision);
    let offsets = second.offsets.iter().map(|o| (o.start_offset, o.live_from_offset));
    assert_eq!(offsets.collect::<Vec<_>>(), [(0, 0); 3]);
    Ok(())
}
