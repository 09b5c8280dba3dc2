//! The topic of dead letters: the table of the live revision, mirrored by a cursor, at least once.
//!
//! The key names topic, partition and offset of the record, so that a reader tells a repetition. What cannot be sent
//! stays in the table in front of the cursor, and is sent when the topic takes it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tracing::{info, warn};

use crate::ingest::client::{Connection, OwnedKey};
use crate::partition::workers::Workers;
use crate::stores::{ResultStore, StoreError, Unmirrored};
use crate::telemetry::Metrics;

/// How often the table is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Letters of a partition in one round.
const LETTERS: i64 = 500;
/// How long the topic may refuse a letter before the round ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything the mirror needs.
pub struct DeadLetterMirror {
    /// Pipeline uid.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// Where the records came from.
    pub source: String,
    /// Where the letters go.
    pub topic: String,
    /// The workers: the partitions that are here.
    pub workers: Arc<Workers>,
    /// The result store.
    pub store: Arc<dyn ResultStore>,
    /// Sends them.
    pub producer: FutureProducer,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}; create the topic of spec.deadLetters, or allow this client to write to it")]
    Send(KafkaError),
}

/// A producer that loses nothing it was given.
///
/// # Errors
/// The manifest sets a key that Assay owns, or one that librdkafka refuses.
pub fn producer(connection: &Connection) -> Result<FutureProducer, ProducerError> {
    let mut config = connection.client()?;
    config.set("enable.idempotence", "true").set("acks", "all");
    config.set("delivery.timeout.ms", PATIENCE.as_millis().to_string());
    Ok(config.create()?)
}

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// See there.
    #[error(transparent)]
    OwnedKey(#[from] OwnedKey),
    /// What librdkafka refuses.
    #[error("spec.kafka.clientConfig: {0}")]
    Configuration(#[from] KafkaError),
}

impl DeadLetterMirror {
    /// Mirrors for ever.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.round().await {
                self.metrics.errors.with_label_values(&["mirror"]).inc();
                warn!(topic = self.topic, %error, "dead letters stay in the table for now");
            }
        }
    }

    async fn round(&self) -> Result<(), MirrorError> {
        let live = self.store.live_revision(&self.pipeline).await?;
        if live.is_none_or(|(revision, _)| revision != self.revision) {
            return Ok(());
        }
        for partition in self.workers.report().await.iter().map(|report| report.partition) {
            let letters = self
                .store
                .unmirrored(&self.pipeline, &self.revision, partition, LETTERS)
                .await?;
            let Some(last) = letters.last() else { continue };
            let next_offset = last.record_offset + 1;
            let sent = letters.iter().map(|letter| self.send(partition, letter));
            futures::future::try_join_all(sent).await?;
            self.store
                .mirrored(&self.pipeline, &self.revision, partition, next_offset)
                .await?;
            info!(partition, letters = letters.len(), "dead letters mirrored");
        }
        Ok(())
    }

    async fn send(&self, partition: i32, letter: &Unmirrored) -> Result<(), MirrorError> {
        let key = format!("{}/{partition}/{}", self.source, letter.record_offset);
        let length = letter.value_length.to_string();
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(header("assay.reason", letter.reason.as_bytes()))
            .insert(header("assay.key", letter.key.as_slice()))
            .insert(header("assay.value.length", length.as_bytes()));
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(&letter.value)
            .headers(headers);
        let sent = self.producer.send(record, PATIENCE).await;
        sent.map(drop).map_err(|(error, _)| MirrorError::Send(error))
    }
}
