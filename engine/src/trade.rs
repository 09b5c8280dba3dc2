//! A decoded record of the source topic, borrowed from the bytes it came in.

use crate::indicators::moments::NOTIONAL_LIMIT;
use crate::watermark::{self, MAX_AHEAD_US};

/// The taker's side of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

/// One canonical trade. `price` and `quantity` are integers scaled by 1e-8 and above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade<'a> {
    /// Venue that printed the trade, e.g. `binance`.
    pub venue: &'a str,
    /// Symbol, 1 to 32 bytes of `[A-Z0-9._/-]`.
    pub symbol: &'a str,
    /// The venue's id of the trade, unique within (venue, symbol).
    pub trade_id: u64,
    /// Price, scaled by 1e-8.
    pub price: i64,
    /// Quantity of the base asset, scaled by 1e-8.
    pub quantity: i64,
    /// The taker's side.
    pub side: Side,
    /// The venue's time of the trade, microseconds since the Unix epoch, UTC.
    pub event_time_us: i64,
    /// When the feed received it, microseconds since the Unix epoch, UTC.
    pub received_time_us: i64,
}

/// A decoded value of `raw.trades`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A print.
    Trade(Trade<'a>),
    /// Moves event time in a silent partition.
    Tick {
        /// Confirmed event time, microseconds.
        event_time_us: i64,
    },
    /// Tells of missing trades of a symbol.
    Gap {
        /// The symbol.
        symbol: &'a str,
        /// First missing instant, microseconds.
        from_us: i64,
        /// First instant that is complete again, microseconds.
        to_us: i64,
    },
}

/// Where a record stands in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's record time in microseconds; `None` where the input has none (files).
    pub record_time_us: Option<i64>,
}

/// Why a record became a dead letter. `as_str` is the reason column, metric label and JSON key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// Not a JSON object of the schema.
    Undecodable,
    /// `v` is unknown to this build.
    UnknownVersion,
    /// A required field is missing or of the wrong type.
    InvalidField,
    /// Price or quantity at or below zero.
    NotPositive,
    /// A number that the fixed-point range or scale cannot hold, or a price × quantity beyond 1.27e14.
    NotRepresentable,
    /// Empty symbol, over 32 bytes, or bytes outside `[A-Z0-9._/-]`.
    InvalidSymbol,
    /// Event time more than 5 s ahead of min(received time, record time).
    FutureEventTime,
    /// Value larger than 1 MiB.
    TooLarge,
}

/// What `step` did with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It changed the state.
    Accepted,
    /// Its slot was already closed.
    Late,
    /// Its (venue, symbol, trade id) was seen within the dedupe window.
    Duplicate,
    /// Its symbol is FAULTED; the record is kept in the log, nothing changed.
    Faulted,
    /// A dead letter.
    Rejected(Rejection),
}

/// Longest symbol, bytes.
const LONGEST_SYMBOL: usize = 32;

/// Whether a symbol is 1 to 32 bytes of `[A-Z0-9._/-]`.
#[must_use]
pub fn is_valid_symbol(symbol: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-');
    (1..=LONGEST_SYMBOL).contains(&symbol.len()) && symbol.bytes().all(is_allowed)
}

impl Trade<'_> {
    /// Checks everything that can be told from the trade alone.
    ///
    /// # Errors
    /// The reason for which it is a dead letter.
    pub fn check(&self, record_time_us: Option<i64>) -> Result<(), Rejection> {
        if self.price <= 0 || self.quantity <= 0 {
            return Err(Rejection::NotPositive);
        }
        if notional(self.price, self.quantity) >= NOTIONAL_LIMIT {
            return Err(Rejection::NotRepresentable);
        }
        check_event_time(self.event_time_us, Some(self.received_time_us), record_time_us)
    }
}

/// Price × quantity, scaled by 1e-16.
fn notional(price: i64, quantity: i64) -> u128 {
    u128::from(price.unsigned_abs()) * u128::from(quantity.unsigned_abs())
}

/// Checks that an event time is one, and at most 5 s ahead of the earlier of received and record time.
pub(crate) fn check_event_time(
    event_time_us: i64,
    received_time_us: Option<i64>,
    record_time_us: Option<i64>,
) -> Result<(), Rejection> {
    if !watermark::is_representable(event_time_us) {
        return Err(Rejection::InvalidField);
    }
    let arrival_us = received_time_us.into_iter().chain(record_time_us).min();
    let is_ahead = |arrival_us: i64| event_time_us > arrival_us.saturating_add(MAX_AHEAD_US);
    if arrival_us.is_some_and(is_ahead) {
        return Err(Rejection::FutureEventTime);
    }
    Ok(())
}

impl Rejection {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::Undecodable,
        Self::UnknownVersion,
        Self::InvalidField,
        Self::NotPositive,
        Self::NotRepresentable,
        Self::InvalidSymbol,
        Self::FutureEventTime,
        Self::TooLarge,
    ];

    /// The reason as it stands in rows, metrics and summaries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownVersion => "unknown_version",
            Self::InvalidField => "invalid_field",
            Self::NotPositive => "not_positive",
            Self::NotRepresentable => "not_representable",
            Self::InvalidSymbol => "invalid_symbol",
            Self::FutureEventTime => "future_event_time",
            Self::TooLarge => "too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::fixed_point::SCALE;

    #[rstest]
    #[case("BTCUSDT", true)]
    #[case("BTC-USD", true)]
    #[case("XBT/USD", true)]
    #[case("1000SHIB_USDT.P", true)]
    #[case("", false)]
    #[case("btcusdt", false)]
    #[case("BTC USD", false)]
    #[case("ÄTH", false)]
    fn symbols_have_a_fixed_alphabet(#[case] symbol: &str, #[case] valid: bool) {
        assert_eq!(is_valid_symbol(symbol), valid);
    }

    #[test]
    fn a_symbol_has_at_most_32_bytes() {
        assert!(is_valid_symbol(&"A".repeat(32)));
        assert!(!is_valid_symbol(&"A".repeat(33)));
    }

    const NOW_US: i64 = 1_723_078_800_000_000;

    fn trade() -> Trade<'static> {
        Trade {
            venue: "binance",
            symbol: "BTCUSDT",
            trade_id: 1,
            price: 60_000 * SCALE,
            quantity: SCALE,
            side: Side::Buy,
            event_time_us: NOW_US,
            received_time_us: NOW_US,
        }
    }

    #[test]
    fn prices_and_quantities_must_be_above_zero_and_their_product_in_range() {
        assert_eq!(trade().check(None), Ok(()));
        assert_eq!(Trade { price: 0, ..trade() }.check(None), Err(Rejection::NotPositive));
        assert_eq!(
            Trade {
                quantity: -1,
                ..trade()
            }
            .check(None),
            Err(Rejection::NotPositive)
        );
        let largest = Trade {
            price: i64::MAX,
            quantity: i64::MAX,
            ..trade()
        };
        assert_eq!(largest.check(None), Err(Rejection::NotRepresentable));
    }

    #[test]
    fn an_event_time_may_lie_five_seconds_ahead_of_the_earlier_arrival() {
        let ahead = Trade {
            event_time_us: NOW_US + MAX_AHEAD_US,
            ..trade()
        };
        assert_eq!(ahead.check(None), Ok(()));
        assert_eq!(ahead.check(Some(NOW_US)), Ok(()));
        assert_eq!(ahead.check(Some(NOW_US - 1)), Err(Rejection::FutureEventTime));
        let received = Trade {
            received_time_us: NOW_US - 1,
            ..ahead
        };
        assert_eq!(received.check(Some(NOW_US + 1)), Err(Rejection::FutureEventTime));
    }

    #[test]
    fn times_outside_the_calendar_are_refused() {
        for event_time_us in [-1, i64::MIN, i64::MAX] {
            let trade = Trade {
                event_time_us,
                received_time_us: i64::MAX,
                ..trade()
            };
            assert_eq!(trade.check(None), Err(Rejection::InvalidField));
        }
    }

    #[test]
    fn reasons_are_distinct() {
        let names: std::collections::BTreeSet<_> = Rejection::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Rejection::ALL.len());
    }
}
