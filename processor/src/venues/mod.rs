//! Messages of real venues to canonical trades. Nothing here is fatal: a message of an unknown kind is named, not judged.

mod binance;
mod coinbase;
mod kraken;

pub use binance::Binance;
pub use coinbase::Coinbase;
pub use kraken::Kraken;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feed::{InvalidTrade, OwnedTrade};

/// What a message was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Trades in the venue's order, and those that no canonical trade can hold.
    Trades(Vec<Result<OwnedTrade, InvalidTrade>>),
    /// Anything else, by its kind.
    Other(String),
}

/// Reads the messages of one connection in order.
pub trait Messages: Send {
    /// Reads one message; `received_us` is when it was received, where that is known.
    fn read(&mut self, json: &str, received_us: Option<i64>) -> Message;
}

/// A number's text, whether the venue sends it as text or as a JSON number: it never passes through a float.
fn decimal_text(json: &RawValue) -> &str {
    json.get().trim_matches('"')
}

/// A message that is no JSON of its venue.
fn malformed() -> Message {
    Message::Other("malformed message".to_owned())
}

/// Microseconds of an RFC 3339 time.
fn microseconds(rfc3339: &str) -> Option<i64> {
    rfc3339
        .parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_microsecond)
}

/// Reads a JSON value; `None` where it has another shape.
fn shape<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json).ok()
}
