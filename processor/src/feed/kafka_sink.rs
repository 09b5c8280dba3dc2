//! Records into Kafka: idempotent, acknowledged by all in-sync replicas, keyed as Java clients do, every delivery counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::FeedError;
use super::route::Routed;
use crate::ingest::access::AccessWatch;
use crate::ingest::client::Connection;

/// How long the broker may take to describe the topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
/// A pause while the client's queue is full; its thread works it off meanwhile.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// Settings a feed cannot be without; the user's own settings come before them and cannot undo them.
const REQUIRED: [(&str, &str); 3] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
];

/// Settings that the user may override.
const DEFAULTS: [(&str, &str); 4] = [
    ("linger.ms", "5"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// A producer of one topic.
pub struct KafkaSink {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    partitions: i32,
    sent: u64,
}

/// Delivery reports, counted on the client's thread.
#[derive(Debug, Default)]
pub struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_error: Mutex<Option<String>>,
    access: AccessWatch,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.access.notice(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, _)) = result else {
            self.delivered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| error.to_string());
    }
}

impl KafkaSink {
    /// Connects with the login and certificates of `login`, and asks for the topic's partitions.
    ///
    /// # Errors
    /// Refused settings, no broker, no access, or no such topic.
    pub fn connect(
        brokers: &str,
        topic: &str,
        settings: &[(String, String)],
        login: &Connection,
    ) -> Result<Self, FeedError> {
        let failed = |reason: String| FeedError::Topic {
            topic: topic.to_owned(),
            reason,
        };
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS {
            config.set(key, value);
        }
        for (key, value) in settings {
            config.set(key, value);
        }
        login.secure(&mut config);
        for (key, value) in REQUIRED {
            config.set(key, value);
        }
        let producer: ThreadedProducer<Deliveries> = config
            .set("bootstrap.servers", brokers)
            .create_with_context(Deliveries::default())
            .map_err(refused)?;
        let partitions =
            count_partitions(&producer, topic).map_err(|reason| match producer.context().access.refusal() {
                Some(refusal) => FeedError::NoAccess {
                    topic: topic.to_owned(),
                    refusal,
                },
                None => failed(reason),
            })?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            partitions,
            sent: 0,
        })
    }

    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Queues a record; waits while the client's queue is full.
    ///
    /// # Errors
    /// The client refuses it.
    pub fn send(&mut self, record: &Routed) -> Result<(), FeedError> {
        let mut message = BaseRecord::to(&self.topic).key(&record.key).payload(&record.value);
        if record.key.is_empty() {
            message.key = None;
        }
        if !record.by_key {
            message = message.partition(record.partition);
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => message = refused,
                Err((error, _)) => return Err(FeedError::Queue(error)),
            }
            self.producer.poll(FULL_QUEUE_PAUSE);
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits for every delivery report.
    ///
    /// # Errors
    /// Any record that the broker did not confirm.
    pub fn finish(self) -> Result<u64, FeedError> {
        // The client gives up on every record by itself after `message.timeout.ms`, so this ends.
        let flushed = self.producer.flush(rdkafka::util::Timeout::Never);
        let deliveries = self.producer.context();
        let delivered = deliveries.delivered.load(Ordering::Relaxed);
        if delivered == self.sent && flushed.is_ok() {
            return Ok(delivered);
        }
        let first = deliveries
            .first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let first = first
            .or(flushed.err().map(|error| error.to_string()))
            .unwrap_or_else(|| "none reported".into());
        Err(FeedError::Undelivered {
            failed: self.sent - delivered,
            sent: self.sent,
            first,
        })
    }

    /// Records the broker has not confirmed yet, or never will.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.sent - self.producer.context().delivered.load(Ordering::Relaxed)
    }

    /// Records that failed for good so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.producer.context().failed.load(Ordering::Relaxed)
    }
}

fn refused(error: KafkaError) -> FeedError {
    match error {
        KafkaError::ClientConfig(_, reason, key, value) => FeedError::Setting { key, value, reason },
        KafkaError::ClientCreation(reason) => FeedError::Client(reason),
        other => FeedError::Client(other.to_string()),
    }
}

fn count_partitions(producer: &ThreadedProducer<Deliveries>, topic: &str) -> Result<i32, String> {
    let metadata = producer
        .client()
        .fetch_metadata(Some(topic), METADATA_TIMEOUT)
        .map_err(|error| error.to_string())?;
    let found = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .ok_or("not in the broker's answer")?;
    if let Some(error) = found.error() {
        return Err(RDKafkaErrorCode::from(error).to_string());
    }
    i32::try_from(found.partitions().len())
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "it has no partitions".into())
}
