//! Harness for tests against real servers: Kafka, Postgres and Redis as child processes on free ports and temporary
//! folders, the `assay` binary as a child, and a proxy that loses messages at a chosen moment.
//!
//! Everything started here ends with the value that owns it, and with the test process whatever happens to it.
//! Nothing here sleeps for a fixed time: `wait::until` waits for a state and says what it waited for.

pub mod http;
pub mod kafka;
pub mod kubernetes;
pub mod measure;
pub mod model;
pub mod once;
pub mod pipeline;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod processor;
pub mod proxy;
pub mod redis;
pub mod results;
pub mod scratch;
pub mod secured;
pub mod trades;
pub mod wait;

pub use kafka::Kafka;
pub use kubernetes::Kubernetes;
pub use postgres::{Database, Postgres};
pub use process::Process;
pub use proxy::Proxy;
pub use redis::Redis;
