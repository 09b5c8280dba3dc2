//! From Kafka to the partition queues.

pub mod decode;
pub mod encode;
pub mod fields;
mod scanner;
