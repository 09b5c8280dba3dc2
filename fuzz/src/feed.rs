//! The reading part of the processor's `feed`, and its readers by name.

#[path = "../../processor/src/feed/gaps.rs"]
pub mod gaps;
#[path = "../../processor/src/feed/quality.rs"]
pub mod quality;
#[path = "../../processor/src/feed/reading.rs"]
mod reading;
#[path = "../../processor/src/feed/record.rs"]
mod record;
#[path = "../../processor/src/feed/trade.rs"]
mod trade;

use std::io::Cursor;

pub use self::record::{FeedRecord, InputError, Records};
pub use self::trade::{InvalidTrade, OwnedTrade, PrintedTrade, TimeIds};
use crate::venues::{Binance, Coinbase, Kraken, Messages};

/// Venue that recorded CSV is read as.
pub const CSV_VENUE: &str = "binance";

/// The header line of the recorded CSV.
#[must_use]
pub fn recorded_header() -> String {
    reading::RECORDED_COLUMNS.join(",")
}

/// The header line of Coinbase's CSV.
#[must_use]
pub fn coinbase_header() -> String {
    reading::COINBASE_COLUMNS.join(",")
}

/// Rows of the recorded CSV.
#[must_use]
pub fn recorded_csv(text: Vec<u8>) -> Records {
    reading::recorded_csv("input", Box::new(Cursor::new(text)), CSV_VENUE)
}

/// Rows of Coinbase's CSV.
#[must_use]
pub fn coinbase_csv(text: Vec<u8>) -> Records {
    reading::coinbase_csv("input", Box::new(Cursor::new(text)))
}

/// Canonical lines.
#[must_use]
pub fn canonical_lines(text: Vec<u8>) -> Records {
    reading::canonical_lines("input", Box::new(Cursor::new(text)))
}

/// Messages of a venue, one a line.
#[must_use]
pub fn venue_messages(text: Vec<u8>, venue: Venue) -> Records {
    reading::venue_messages("input", Box::new(Cursor::new(text)), venue.messages())
}

/// Whose messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Venue {
    /// Binance.
    Binance,
    /// Coinbase.
    Coinbase,
    /// Kraken.
    Kraken,
}

impl Venue {
    /// A reader of one connection.
    #[must_use]
    pub fn messages(self) -> Box<dyn Messages> {
        match self {
            Self::Binance => Box::new(Binance::default()),
            Self::Coinbase => Box::new(Coinbase),
            Self::Kraken => Box::new(Kraken::default()),
        }
    }
}
