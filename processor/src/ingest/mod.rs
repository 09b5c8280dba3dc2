//! From Kafka to the partition queues.

pub mod decode;
