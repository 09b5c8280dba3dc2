//! Questions to Kafka that need no group: does the topic exist, how many partitions has it, where does its log start and end.
//!
//! Calls block up to their time limit: never make them on the poll thread; futures use [`LogClient::ask`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::access::{AccessWatch, NoAccess, refusal_of};
use super::client::{Connection, OwnedKey};
use super::topic_identity::topic_identity;
use crate::partition::LogBounds;
use crate::resilience::Transient;

/// What went wrong between us and the brokers.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The configuration is not acceptable.
    #[error(transparent)]
    OwnedKey(#[from] OwnedKey),
    /// librdkafka refused the configuration.
    #[error("librdkafka refuses the configuration: {0}; check spec.kafka.clientConfig and spec.kafka.security")]
    Configuration(KafkaError),
    /// The brokers answer, and refuse us.
    #[error("Kafka at {servers}: {refusal}")]
    NoAccess {
        /// Bootstrap servers.
        servers: String,
        /// Why.
        refusal: NoAccess,
    },
    /// No broker answered in time.
    #[error("Kafka at {servers} cannot be reached: {cause}; check spec.kafka.bootstrapServers and spec.kafka.security")]
    Unreachable {
        /// Bootstrap servers.
        servers: String,
        /// Cause.
        cause: KafkaError,
    },
    /// The topic is not there.
    #[error("topic {0} does not exist; create it, or let the operator do so (source.management: Managed)")]
    TopicMissing(String),
    /// Kafka does not let us see it.
    #[error("topic {topic} cannot be read: {code:?}; grant READ and DESCRIBE on it to the user of spec.kafka.security")]
    TopicRefused {
        /// Topic.
        topic: String,
        /// Kafka's code.
        code: RDKafkaErrorCode,
    },
    /// Offsets of a partition are not to be had.
    #[error("offsets of {topic}/{partition} are unknown: {cause}; the partition needs a leader: look at the brokers")]
    OffsetsUnknown {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Cause.
        cause: String,
    },
    /// The blocking thread went away.
    #[error("the question to Kafka was dropped: {0}")]
    Internal(String),
}

impl Transient for LogError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::OffsetsUnknown { .. })
    }
}

/// A client beside the group.
pub struct LogClient {
    consumer: BaseConsumer<AccessWatch>,
    servers: String,
    topic: String,
    timeout: Duration,
}

impl LogClient {
    /// A client for one topic; every call takes at most `timeout`.
    ///
    /// # Errors
    /// The configuration is not acceptable.
    pub fn new(connection: &Connection, topic: &str, timeout: Duration) -> Result<Self, LogError> {
        let mut config = connection.client()?;
        // The true end of the log, not that of the last finished transaction.
        config.set("isolation.level", "read_uncommitted");
        let consumer = config
            .create_with_context(AccessWatch::default())
            .map_err(LogError::Configuration)?;
        Ok(Self {
            consumer,
            servers: connection.bootstrap_servers.clone(),
            topic: topic.to_owned(),
            timeout,
        })
    }

    /// Number of partitions.
    ///
    /// # Errors
    /// Unreachable, no access, missing or refused.
    pub fn partition_count(&self) -> Result<i32, LogError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), self.timeout)
            .map_err(|cause| self.unanswered(cause))?;
        self.consumer.context().works();
        let topic = metadata
            .topics()
            .first()
            .ok_or_else(|| LogError::TopicMissing(self.topic.clone()))?;
        match topic.error().map(RDKafkaErrorCode::from) {
            None => Ok(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(LogError::TopicMissing(self.topic.clone()))
            }
            Some(code) => Err(LogError::TopicRefused {
                topic: self.topic.clone(),
                code,
            }),
        }
    }

    /// The id that the brokers gave the topic; empty where they give none.
    ///
    /// # Errors
    /// Never so far: a broker that does not tell is one that gives none.
    pub fn topic_identity(&self) -> Result<String, LogError> {
        Ok(topic_identity(&self.consumer, &self.topic, self.timeout).unwrap_or_default())
    }

    /// Start and end of the log of the partitions.
    ///
    /// # Errors
    /// Unreachable, or a partition without an answer.
    pub fn bounds(&self, partitions: &[i32]) -> Result<BTreeMap<i32, LogBounds>, LogError> {
        let starts = self.offsets(partitions, Offset::Beginning)?;
        let ends = self.offsets(partitions, Offset::End)?;
        let bounds = |(partition, start): (i32, i64)| {
            Some((
                partition,
                LogBounds {
                    start,
                    end: *ends.get(&partition)?,
                },
            ))
        };
        Ok(starts.into_iter().filter_map(bounds).collect())
    }

    /// Asks a question on a thread that may block.
    ///
    /// # Errors
    /// The question's.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let log = Arc::clone(self);
        match tokio::task::spawn_blocking(move || question(&log)).await {
            Ok(answer) => answer,
            Err(error) => Err(LogError::Internal(error.to_string())),
        }
    }

    fn offsets(&self, partitions: &[i32], which: Offset) -> Result<BTreeMap<i32, i64>, LogError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(&self.topic, *partition, which)
                .map_err(LogError::Configuration)?;
        }
        let answer = self
            .consumer
            .offsets_for_times(list, self.timeout)
            .map_err(|cause| self.unanswered(cause))?;
        self.consumer.context().works();
        answer
            .elements()
            .iter()
            .map(|element| {
                let partition = element.partition();
                let unknown = |cause: String| LogError::OffsetsUnknown {
                    topic: self.topic.clone(),
                    partition,
                    cause,
                };
                element.error().map_err(|cause| unknown(cause.to_string()))?;
                match element.offset() {
                    Offset::Offset(offset) => Ok((partition, offset)),
                    other => Err(unknown(format!("{other:?}"))),
                }
            })
            .collect()
    }

    /// A call that got no answer; what the client told beside it may know why.
    fn unanswered(&self, cause: KafkaError) -> LogError {
        let servers = self.servers.clone();
        match refusal_of(&self.consumer) {
            Some(refusal) => LogError::NoAccess { servers, refusal },
            None => LogError::Unreachable { servers, cause },
        }
    }
}
