//! Kafka as the operator uses it: one shared handle for each broker set and credential, closed when nobody has asked for a while.

mod access;
mod bounds;
mod config;
mod handle;
mod kafka_admin;
mod pool;
mod topics;

pub use bounds::{Bounds, LogBounds};
pub use config::{Connection, KafkaCredentials};
pub use handle::{KafkaError, KafkaHandle, OffsetQuestion, TopicFound};
pub use kafka_admin::TopicDescription;
pub use pool::{IDLE_LIMIT, KafkaPool};
