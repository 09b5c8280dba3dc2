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
pub mod route;
pub mod synthetic;
pub mod ticks;
mod trade;

use crate::ingest::access::NoAccess;
use crate::secret::SecretError;

pub use trade::{InvalidTrade, OwnedTrade, PrintedTrade, TimeIds};

/// One item of an input, in arrival order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedRecord {
    /// A print.
    Trade(OwnedTrade),
    /// Event time that is confirmed for every partition, microseconds.
    Tick {
        /// Confirmed event time, microseconds.
        event_time_us: i64,
    },
    /// Trades of a symbol are missing.
    Gap {
        /// The symbol.
        symbol: String,
        /// First missing instant, microseconds.
        from_us: i64,
        /// First instant that is complete again, microseconds.
        to_us: i64,
    },
    /// A canonical line that does not decode: sent as it is, so that it becomes the dead letter it would be.
    Undecodable(Vec<u8>),
    /// Something of the input that is no trade: a message type, or why a message could not be read. Sent nowhere.
    Skipped(String),
}

/// What stops a feed or a backtest from reading on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A file that cannot be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row of a file that is not of its format.
    #[error("{path}: row {row}: {reason}; correct the row, or name the right --format")]
    Row {
        /// The file.
        path: String,
        /// One-based row, the header included.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file whose format cannot be told.
    #[error("{path}: its format cannot be told from the first line; say --format")]
    UnknownFormat {
        /// The file.
        path: String,
    },
    /// A combination of options that makes no input.
    #[error("{0}")]
    Options(String),
    /// A topic that is not there, or a broker that is not.
    #[error("topic {topic}: {reason}; check --brokers, and create the topic with its partitions first")]
    Topic {
        /// The topic.
        topic: String,
        /// What the client said.
        reason: String,
    },
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

/// Records in arrival order, or the error that ends them.
pub type Records = Box<dyn Iterator<Item = Result<FeedRecord, FeedError>> + Send>;
