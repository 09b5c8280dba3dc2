//! The recorded trades of `fixtures/trades` as records of the source topic.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::kafka::NewRecord;

/// One recorded print; price and quantity as the source wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedTrade {
    /// Symbol.
    pub symbol: String,
    /// The venue's id of the trade.
    pub trade_id: u64,
    /// The venue's time, microseconds since the Unix epoch.
    pub event_time_us: i64,
    /// Price.
    pub price: String,
    /// Quantity.
    pub quantity: String,
    /// The taker's side.
    pub side: String,
}

impl RecordedTrade {
    /// The canonical JSON, as a record keyed by the symbol.
    #[must_use]
    pub fn record(&self) -> NewRecord {
        let Self {
            symbol,
            trade_id,
            event_time_us,
            price,
            quantity,
            side,
        } = self;
        // Fields in the order that the scanner knows; any other goes through the slower decoder.
        let value = format!(
            r#"{{"v":1,"venue":"binance","symbol":"{symbol}","trade_id":{trade_id},"price":"{price}","quantity":"{quantity}","side":"{side}","event_time_us":{event_time_us},"received_time_us":{event_time_us}}}"#
        );
        NewRecord {
            key: self.symbol.clone().into_bytes(),
            value: value.into_bytes(),
            ..NewRecord::default()
        }
    }
}

/// Eleven minutes of BTC and ETH in August 2024: 34,419 trades.
///
/// # Errors
/// The fixture cannot be read.
pub fn eleven_minutes() -> Result<Vec<RecordedTrade>> {
    read("binance_spot_btc_eth_20240808.csv.gz")
}

/// The eleven minutes at a sixth of their speed, each symbol's trades dealt out to `ways` symbols: an hour of event time,
/// because the first forecast needs ten minutes of volatility, and symbols enough for many partitions.
///
/// # Errors
/// The fixture cannot be read.
pub fn slow_hour(ways: u64) -> Result<Vec<RecordedTrade>> {
    const SLOWNESS: i64 = 6;
    let mut trades = eleven_minutes()?;
    let start_us = trades.first().map_or(0, |trade| trade.event_time_us);
    for trade in &mut trades {
        trade.event_time_us = start_us + (trade.event_time_us - start_us) * SLOWNESS;
        trade.symbol = format!("{}.{}", trade.symbol, trade.trade_id % ways);
    }
    Ok(trades)
}

fn read(name: &str) -> Result<Vec<RecordedTrade>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trades").join(name);
    let file = std::fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
    text.lines().skip(1).map(parse).collect()
}

fn parse(line: &str) -> Result<RecordedTrade> {
    let fields: Vec<&str> = line.split(',').collect();
    let [symbol, trade_id, event_time_us, price, quantity, side, ..] = fields[..] else {
        anyhow::bail!("too few columns in {line:?}");
    };
    Ok(RecordedTrade {
        symbol: symbol.to_owned(),
        trade_id: trade_id.parse()?,
        event_time_us: event_time_us.parse()?,
        price: price.to_owned(),
        quantity: quantity.to_owned(),
        side: side.to_owned(),
    })
}
