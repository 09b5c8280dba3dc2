//! From Kafka to the workers' queues.

pub mod access;
pub mod client;
pub mod decode;
pub mod encode;
pub mod fields;
mod headers;
pub mod lag;
pub mod log_client;
pub mod ownership;
pub mod poll;
pub mod rebalance;
pub mod record_queue;
mod scanner;
pub mod takeover;
pub mod topic_identity;
