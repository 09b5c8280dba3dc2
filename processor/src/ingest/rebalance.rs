//! What the group coordinator says, as facts. The callbacks run on the poll thread inside `poll` (and inside `Drop`):
//! they record and return; the poll thread acts between two polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics};
use tracing::{debug, info, warn};

use crate::crash_points::crash_point;
use crate::telemetry::Metrics;

/// One thing that the group did. Lists are deltas and may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// These partitions are ours from now on.
    Assigned(Vec<i32>),
    /// These must go; the group waits until they are unassigned.
    Revoked(Vec<i32>),
    /// These are gone already: write nothing.
    Lost(Vec<i32>),
}

/// Takes over the whole rebalance hook of the consumer.
pub struct GroupContext {
    facts: Mutex<Vec<Fact>>,
    closing: AtomicBool,
    metrics: Arc<Metrics>,
}

impl GroupContext {
    /// Without facts.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            facts: Mutex::default(),
            closing: AtomicBool::new(false),
            metrics,
        }
    }

    /// The facts since the last call, in order.
    #[must_use]
    pub fn take_facts(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on revocations are answered inside the callback: nobody drains any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn record(&self, fact: Fact) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        crash_point!("rebalance.assign");
        info!(?partitions, "assigned");
        self.metrics.rebalances.with_label_values(&["assign"]).inc();
        // An empty delta ends the rebalance at once; each partition follows when its take-over is done.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            warn!(%error, "the group did not take the answer to its assignment");
        }
        self.record(Fact::Assigned(partitions));
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        if consumer.assignment_lost() {
            crash_point!("rebalance.lost");
            warn!(?partitions, "lost");
            self.metrics.rebalances.with_label_values(&["lost"]).inc();
            self.record(Fact::Lost(partitions));
        } else {
            crash_point!("rebalance.revoke");
            info!(?partitions, "revoked");
            self.metrics.rebalances.with_label_values(&["revoke"]).inc();
            self.record(Fact::Revoked(partitions));
        }
        if self.closing.load(Ordering::Relaxed) {
            release_everything(consumer);
        }
    }
}

/// Unassigns what is assigned; without this answer closing the consumer would wait for ever.
fn release_everything(consumer: &BaseConsumer<GroupContext>) {
    let released = consumer
        .assignment()
        .and_then(|assignment| consumer.incremental_unassign(&assignment));
    if let Err(error) = released {
        warn!(%error, "partitions could not be unassigned while closing");
    }
}

impl ClientContext for GroupContext {
    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, partitions),
            _ => self.revoked(consumer, partitions),
        }
    }
}
