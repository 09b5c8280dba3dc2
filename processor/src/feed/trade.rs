//! A trade that owns its texts, and the one place where printed numbers become one.

use std::collections::{BTreeMap, HashMap};

use assay_engine::fixed_point::{self, FixedPointError};
use assay_engine::{Side, Trade};

use crate::ingest::fields;

/// A canonical trade between its source and the log. Units as in [`Trade`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedTrade {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// The venue's id.
    pub trade_id: u64,
    /// Price, scaled by 1e-8.
    pub price: i64,
    /// Quantity, scaled by 1e-8.
    pub quantity: i64,
    /// The taker's side.
    pub side: Side,
    /// Venue's time, microseconds.
    pub event_time_us: i64,
    /// Time of receipt, microseconds.
    pub received_time_us: i64,
}

/// A trade as a source prints it, before anything is checked.
#[derive(Debug, Clone, Copy)]
pub struct PrintedTrade<'a> {
    /// Venue.
    pub venue: &'a str,
    /// Symbol.
    pub symbol: &'a str,
    /// The venue's id.
    pub trade_id: u64,
    /// Price, decimal.
    pub price: &'a str,
    /// Quantity, decimal.
    pub quantity: &'a str,
    /// The taker's side.
    pub side: Side,
    /// Venue's time, microseconds.
    pub event_time_us: i64,
    /// Time of receipt, microseconds.
    pub received_time_us: i64,
}

/// Why a printed trade is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrade {
    /// A decimal that a trade cannot hold.
    #[error("{field} {text:?}: {reason}")]
    Decimal {
        /// `price` or `quantity`.
        field: &'static str,
        /// As printed.
        text: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A name outside its set of bytes.
    #[error("{field} {text:?} must be 1 to 32 bytes of its set (symbols [A-Z0-9._/-], venues [a-z0-9._-])")]
    Name {
        /// `symbol` or `venue`.
        field: &'static str,
        /// As printed.
        text: String,
    },
    /// A time outside 1970 to 9999.
    #[error("{field} {time} is not a time in microseconds between 1970 and 9999")]
    Time {
        /// `event time` or `received time`.
        field: &'static str,
        /// Microseconds.
        time: i64,
    },
}

impl OwnedTrade {
    /// The borrowed form that the encoder takes.
    #[must_use]
    pub fn as_trade(&self) -> Trade<'_> {
        Trade {
            venue: &self.venue,
            symbol: &self.symbol,
            trade_id: self.trade_id,
            price: self.price,
            quantity: self.quantity,
            side: self.side,
            event_time_us: self.event_time_us,
            received_time_us: self.received_time_us,
        }
    }
}

impl From<Trade<'_>> for OwnedTrade {
    fn from(trade: Trade<'_>) -> Self {
        let Trade {
            venue,
            symbol,
            trade_id,
            price,
            quantity,
            side,
            event_time_us,
            received_time_us,
        } = trade;
        let (venue, symbol) = (venue.to_owned(), symbol.to_owned());
        Self {
            venue,
            symbol,
            trade_id,
            price,
            quantity,
            side,
            event_time_us,
            received_time_us,
        }
    }
}

impl TryFrom<PrintedTrade<'_>> for OwnedTrade {
    type Error = InvalidTrade;

    fn try_from(printed: PrintedTrade<'_>) -> Result<Self, InvalidTrade> {
        Ok(Self {
            venue: name("venue", printed.venue, fields::is_venue)?,
            symbol: name("symbol", printed.symbol, fields::is_symbol)?,
            trade_id: printed.trade_id,
            price: positive("price", printed.price)?,
            quantity: positive("quantity", printed.quantity)?,
            side: printed.side,
            event_time_us: time("event time", printed.event_time_us)?,
            received_time_us: time("received time", printed.received_time_us)?,
        })
    }
}

fn name(field: &'static str, text: &str, valid: fn(&str) -> bool) -> Result<String, InvalidTrade> {
    if valid(text) {
        Ok(text.to_owned())
    } else {
        Err(InvalidTrade::Name {
            field,
            text: text.to_owned(),
        })
    }
}

fn positive(field: &'static str, text: &str) -> Result<i64, InvalidTrade> {
    let reason = match fixed_point::parse(text) {
        Ok(0) | Err(FixedPointError::Negative) => "not above zero".to_owned(),
        Ok(value) => return Ok(value),
        Err(error) => error.to_string(),
    };
    Err(InvalidTrade::Decimal {
        field,
        text: text.to_owned(),
        reason,
    })
}

fn time(field: &'static str, time: i64) -> Result<i64, InvalidTrade> {
    if fields::TIMES_US.contains(&time) {
        Ok(time)
    } else {
        Err(InvalidTrade::Time { field, time })
    }
}

/// Ids for sources that have none: event time × 1000 + the trade's ordinal at that time.
///
/// They depend on the trades alone, so a file fed twice gives the same ids and its copies are recognised.
#[derive(Debug, Default)]
pub struct TimeIds(HashMap<String, BTreeMap<i64, u64>>);

/// Trades of one symbol at one microsecond that get ids of their own.
const IDS_PER_TIME: u64 = 1000;

/// Times per symbol at which ordinals are remembered: rows may be a little out of order.
const REMEMBERED_TIMES: usize = 4096;

impl TimeIds {
    /// The next id of a symbol at a time; `None` for a negative time or the 1001st trade of one microsecond.
    pub fn next(&mut self, symbol: &str, event_time_us: i64) -> Option<u64> {
        if !self.0.contains_key(symbol) {
            self.0.insert(symbol.to_owned(), BTreeMap::new());
        }
        let times = self.0.get_mut(symbol)?;
        let ordinal = times
            .entry(event_time_us)
            .and_modify(|ordinal| *ordinal += 1)
            .or_insert(0);
        let (ordinal, base) = (*ordinal, u64::try_from(event_time_us).ok()?.checked_mul(IDS_PER_TIME)?);
        if times.len() > REMEMBERED_TIMES {
            times.pop_first();
        }
        (ordinal < IDS_PER_TIME).then(|| base + ordinal)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn printed() -> PrintedTrade<'static> {
        PrintedTrade {
            venue: "binance",
            symbol: "BTCUSDT",
            trade_id: 1,
            price: "61671.55000000",
            quantity: "3.844E-5",
            side: Side::Sell,
            event_time_us: 10,
            received_time_us: 12,
        }
    }

    #[test]
    fn printed_numbers_become_scaled_integers() {
        let trade = OwnedTrade::try_from(printed()).unwrap();
        assert_eq!((trade.price, trade.quantity), (6_167_155_000_000, 3_844));
    }

    #[rstest]
    #[case(PrintedTrade { price: "0", ..printed() }, "price \"0\": not above zero")]
    #[case(PrintedTrade { quantity: "-1", ..printed() }, "quantity \"-1\": not above zero")]
    #[case(PrintedTrade { quantity: "1e-9", ..printed() }, "quantity \"1e-9\": cannot be held exactly")]
    #[case(PrintedTrade { symbol: "btc", ..printed() }, "symbol \"btc\" must be 1 to 32 bytes")]
    #[case(PrintedTrade { event_time_us: -1, ..printed() }, "event time -1 is not a time")]
    fn an_invalid_trade_names_the_field_and_the_rule(#[case] printed: PrintedTrade<'_>, #[case] message: &str) {
        let error = OwnedTrade::try_from(printed).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn trades_of_one_microsecond_get_ids_of_their_own_also_out_of_order() {
        let mut ids = TimeIds::default();
        let given: Vec<_> = [5, 5, 6, 5].iter().map(|&time| ids.next("A", time)).collect();
        assert_eq!(given, [Some(5000), Some(5001), Some(6000), Some(5002)]);
        assert_eq!(ids.next("B", 5), Some(5000));
        assert_eq!(ids.next("B", -1), None);
    }
}

#[cfg(test)]
pub(super) mod tests_support {
    use super::{OwnedTrade, Side};

    /// A valid trade with the fields that most tests are about.
    pub(crate) fn trade_at(symbol: &str, trade_id: u64, event_time_us: i64) -> OwnedTrade {
        OwnedTrade {
            venue: "test".into(),
            symbol: symbol.into(),
            trade_id,
            price: 100_000_000,
            quantity: 100_000_000,
            side: Side::Buy,
            event_time_us,
            received_time_us: event_time_us,
        }
    }
}
