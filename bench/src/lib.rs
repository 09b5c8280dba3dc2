//! What the benchmark's own consumers share: a client, and the start of a log.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Longest wait for the next record: the log is complete, so a longer silence is a failure.
pub const SILENCE: Duration = Duration::from_secs(20);

/// A client with librdkafka's settings, each `KEY=VALUE`.
///
/// # Errors
/// A setting is malformed or unknown.
pub fn consumer(settings: &[String]) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    for setting in settings {
        let (key, value) = setting.split_once('=').context("a setting is KEY=VALUE")?;
        config.set(key, value);
    }
    Ok(config.create()?)
}

/// Begins to fetch all partitions of a topic from their start.
///
/// # Errors
/// The client refuses.
pub fn assign(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    Ok(consumer.assign(&list)?)
}

/// Tells the harness, which reads the output.
///
/// # Errors
/// The output is closed.
pub fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
