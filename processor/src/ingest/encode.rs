//! Canonical JSON of a record: one line, fields in the schema's order, decimals as text with no more digits than they
//! need. What is written here is what the scanner reads without declining.

use std::fmt;

use assay_engine::fixed_point::Decimal;
use assay_engine::{Record, Side, Trade};

/// Shows a record as its canonical JSON. The record's texts must be valid for the schema: they are not escaped.
#[derive(Debug, Clone, Copy)]
pub struct CanonicalJson<'r, 'a>(pub &'r Record<'a>);

impl fmt::Display for CanonicalJson<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Record::Trade(trade) => write_trade(f, trade),
            Record::Tick { event_time_us } => write!(f, r#"{{"v":1,"kind":"tick","event_time_us":{event_time_us}}}"#),
            Record::Gap { symbol, from_us, to_us } => {
                write!(
                    f,
                    r#"{{"v":1,"kind":"gap","symbol":"{symbol}","from_us":{from_us},"to_us":{to_us}}}"#
                )
            }
        }
    }
}

fn write_trade(f: &mut fmt::Formatter<'_>, trade: &Trade<'_>) -> fmt::Result {
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
    let (price, quantity) = (Decimal(*price), Decimal(*quantity));
    let side = match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    };
    write!(
        f,
        r#"{{"v":1,"venue":"{venue}","symbol":"{symbol}","trade_id":{trade_id},"price":"{price}","#
    )?;
    write!(
        f,
        r#""quantity":"{quantity}","side":"{side}","event_time_us":{event_time_us},"#
    )?;
    write!(f, r#""received_time_us":{received_time_us}}}"#)
}
