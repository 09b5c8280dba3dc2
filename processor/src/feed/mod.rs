//! Records on their way into a log: where they come from, how fast they go, and which partition they belong to.
//!
//! `feed` sends them to Kafka and `backtest` applies them directly; both read the same inputs and route alike, so that a
//! backtest sees the very log that a feed into an empty topic would write.

pub mod gaps;
pub mod input;
pub mod kafka_sink;
pub mod murmur2;
pub mod pace;
pub mod quality;
pub mod random;
mod reading;
mod record;
pub mod route;
pub mod synthetic;
pub mod ticks;
mod trade;

use crate::ingest::access::NoAccess;
use crate::secret::SecretError;

pub use record::{FeedRecord, InputError, Records};
pub use trade::{InvalidTrade, OwnedTrade, PrintedTrade, TimeIds};

/// What stops a feed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// An input that cannot be read, or options that make none.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Print(std::io::Error),
    /// A topic that is not there, or a broker that is not.
    #[error("topic {topic}: {reason}; check --brokers, and create the topic with its partitions first")]
    Topic {
        /// The topic.
        topic: String,
        /// What the client said.
        reason: String,
    },
    /// A setting that the client does not take.
    #[error("-X {key}={value}: {reason}; correct or remove it")]
    Setting {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What the client said.
        reason: String,
    },
    /// Settings that make no client together.
    #[error(
        "the Kafka client refuses its settings: {0}; correct -X (a login needs -X sasl.mechanism=…, ASSAY_KAFKA_USERNAME and ASSAY_KAFKA_PASSWORD)"
    )]
    Client(String),
    /// A credential that cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The brokers do not let us in.
    #[error("topic {topic}: {refusal}")]
    NoAccess {
        /// The topic.
        topic: String,
        /// Why.
        refusal: NoAccess,
    },
    /// A record the client would not take.
    #[error("record could not be queued: {0}")]
    Queue(rdkafka::error::KafkaError),
    /// Records that the broker did not confirm.
    #[error(
        "{failed} of {sent} records were not delivered, first error: {first}; the topic holds the others: feed into an empty topic again"
    )]
    Undelivered {
        /// Records without confirmation.
        failed: u64,
        /// Records handed to the client.
        sent: u64,
        /// The first error.
        first: String,
    },
}
