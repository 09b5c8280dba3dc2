//! What inputs give: records in arrival order, or the error that ends them. Knows neither files nor Kafka.

use super::OwnedTrade;

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

/// What stops an input from being read on.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file that cannot be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A compressed file that ends too early.
    #[error("{0}: the gzip file is cut off; fetch it again")]
    CutOff(String),
    /// A file without a byte.
    #[error("{0}: the file is empty")]
    Empty(String),
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
}

impl InputError {
    /// A file that cannot be opened or read. Only unpacking expects more than there is.
    pub(super) fn io(path: &str, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::CutOff(path),
            _ => Self::Io { path, source },
        }
    }
}

/// Records in arrival order, or the error that ends them.
pub type Records = Box<dyn Iterator<Item = Result<FeedRecord, InputError>> + Send>;
