//! Kafka as the operator uses it: one shared handle for each broker set and credential, closed when nobody has asked for a while.

mod config;
mod handle;
mod kafka_admin;
mod pool;

pub use config::{Connection, KafkaCredentials};
pub use handle::{Bounds, KafkaError, KafkaHandle, LogBounds, OffsetQuestion, TopicFound};
pub use kafka_admin::TopicDescription;
pub use pool::{IDLE_LIMIT, KafkaPool};
