//! Kafka as the operator uses it: one shared handle for each broker set and credential, closed when nobody has asked for a while.

mod access;
mod config;
mod error;
mod handle;
mod kafka_admin;
mod pool;
mod shared;

pub use config::{Connection, KafkaCredentials};
pub use error::KafkaError;
pub use handle::{Bounds, KafkaHandle, LogBounds, OffsetQuestion, TopicFound};
pub use kafka_admin::TopicDescription;
pub use pool::{IDLE_LIMIT, KafkaPool};
