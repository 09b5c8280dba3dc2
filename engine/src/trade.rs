//! A decoded record of the source topic, borrowed from the bytes it came in.

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
    /// A number that the fixed-point range or scale cannot hold.
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

impl Rejection {
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
