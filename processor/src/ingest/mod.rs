//! From Kafka to the workers' queues.

pub mod batch;
pub mod client;
pub mod decode;
pub mod encode;
pub mod fields;
pub mod lag;
pub mod log_client;
pub mod ownership;
pub mod poll;
pub mod rebalance;
mod scanner;
pub mod takeover;
pub mod topic_identity;
