//! Bytes of the source topic to a canonical record: a scanner of the usual shape, `serde_json` for everything else.
//!
//! Every check that needs the value alone is made here, before any state is touched; what needs the record's position
//! in the log (an event time ahead of the record's time) is the engine's. Prices never pass through a float: they are
//! cut out of the JSON as text.

use assay_engine::fixed_point::{self, FixedPointError};
use assay_engine::{Record, Rejection, Side, Trade};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields;
use super::scanner::scan;

/// The schema version this build writes. A decoder for every version ever written stays.
const VERSION: &str = "1";

/// Buffer that the fallback decoder borrows from; one per partition.
#[derive(Debug, Default)]
pub struct DecodeScratch {
    venue: String,
    symbol: String,
}

/// Decodes the value of one record. Borrows from the value, or from the scratch where a text was escaped.
///
/// # Errors
/// The reason for which the record is a dead letter. With several, the first of: size, JSON, version, then the
/// fields in the order of the schema.
pub fn decode<'a>(value: &'a [u8], scratch: &'a mut DecodeScratch) -> Result<Record<'a>, Rejection> {
    match scan(value) {
        Some(record) => Ok(record),
        None => decode_any(value, scratch),
    }
}

/// The full decoder: any JSON of the schema. What the scanner reads, this reads alike.
fn decode_any<'a>(value: &'a [u8], scratch: &'a mut DecodeScratch) -> Result<Record<'a>, Rejection> {
    let fields = Fields::read(value)?;
    check_version(required(fields.v)?)?;
    match fields.kind.map(text).transpose()? {
        None => fields.trade(scratch).map(Record::Trade),
        Some("tick") => Ok(Record::Tick {
            event_time_us: time(required(fields.event_time_us)?)?,
        }),
        Some("gap") => fields.gap(scratch),
        Some(_) => Err(Rejection::InvalidField),
    }
}

/// The known fields as they stand in the JSON. Unknown fields are skipped; a field that comes twice is an error.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    v: Option<&'a RawValue>,
    #[serde(borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    venue: Option<&'a RawValue>,
    #[serde(borrow, default)]
    symbol: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trade_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    quantity: Option<&'a RawValue>,
    #[serde(borrow, default)]
    side: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_time_us: Option<&'a RawValue>,
    #[serde(borrow, default)]
    received_time_us: Option<&'a RawValue>,
    #[serde(borrow, default)]
    from_us: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to_us: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn read(value: &'a [u8]) -> Result<Self, Rejection> {
        if value.len() > fields::MAX_VALUE_BYTES {
            return Err(Rejection::TooLarge);
        }
        let json = std::str::from_utf8(value).map_err(|_| Rejection::Undecodable)?;
        // serde would also fill a struct from a JSON array.
        if !json.trim_start().starts_with('{') {
            return Err(Rejection::Undecodable);
        }
        serde_json::from_str(json).map_err(|_| Rejection::Undecodable)
    }

    fn trade(&self, scratch: &'a mut DecodeScratch) -> Result<Trade<'a>, Rejection> {
        Ok(Trade {
            venue: venue(required(self.venue)?, &mut scratch.venue)?,
            symbol: symbol(required(self.symbol)?, &mut scratch.symbol)?,
            trade_id: integer(required(self.trade_id)?)?,
            price: positive(required(self.price)?)?,
            quantity: positive(required(self.quantity)?)?,
            side: side(required(self.side)?)?,
            event_time_us: time(required(self.event_time_us)?)?,
            received_time_us: time(required(self.received_time_us)?)?,
        })
    }

    fn gap(&self, scratch: &'a mut DecodeScratch) -> Result<Record<'a>, Rejection> {
        let symbol = symbol(required(self.symbol)?, &mut scratch.symbol)?;
        let (from_us, to_us) = (time(required(self.from_us)?)?, time(required(self.to_us)?)?);
        (from_us < to_us)
            .then_some(Record::Gap { symbol, from_us, to_us })
            .ok_or(Rejection::InvalidField)
    }
}

/// `null` counts as missing.
fn required(field: Option<&RawValue>) -> Result<&RawValue, Rejection> {
    field.ok_or(Rejection::InvalidField)
}

fn check_version(field: &RawValue) -> Result<(), Rejection> {
    match field.get() {
        VERSION => Ok(()),
        other if is_integer(other) => Err(Rejection::UnknownVersion),
        _ => Err(Rejection::InvalidField),
    }
}

/// A JSON text without escapes.
fn text(field: &RawValue) -> Result<&str, Rejection> {
    serde_json::from_str(field.get()).map_err(|_| Rejection::InvalidField)
}

/// A JSON text, unescaped into `buffer` where it has escapes.
fn unescaped<'a>(field: &'a RawValue, buffer: &'a mut String) -> Result<&'a str, Rejection> {
    if let Ok(text) = text(field) {
        return Ok(text);
    }
    *buffer = serde_json::from_str(field.get()).map_err(|_| Rejection::InvalidField)?;
    Ok(buffer)
}

fn venue<'a>(field: &'a RawValue, buffer: &'a mut String) -> Result<&'a str, Rejection> {
    let venue = unescaped(field, buffer)?;
    fields::is_venue(venue).then_some(venue).ok_or(Rejection::InvalidField)
}

fn symbol<'a>(field: &'a RawValue, buffer: &'a mut String) -> Result<&'a str, Rejection> {
    let symbol = unescaped(field, buffer)?;
    fields::is_symbol(symbol)
        .then_some(symbol)
        .ok_or(Rejection::InvalidSymbol)
}

fn side(field: &RawValue) -> Result<Side, Rejection> {
    match text(field)? {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        _ => Err(Rejection::InvalidField),
    }
}

/// A price or quantity, as text or as a JSON number.
fn positive(field: &RawValue) -> Result<i64, Rejection> {
    let decimal = if field.get().starts_with('"') {
        text(field)?
    } else {
        field.get()
    };
    match fixed_point::parse(decimal) {
        Ok(0) | Err(FixedPointError::Negative) => Err(Rejection::NotPositive),
        Ok(value) => Ok(value),
        Err(FixedPointError::Malformed) => Err(Rejection::InvalidField),
        Err(FixedPointError::NotRepresentable) => Err(Rejection::NotRepresentable),
    }
}

/// An integer that the wanted type may be too small for.
fn integer<T: std::str::FromStr>(field: &RawValue) -> Result<T, Rejection> {
    let digits = field.get();
    let reason = if is_integer(digits) {
        Rejection::NotRepresentable
    } else {
        Rejection::InvalidField
    };
    digits.parse().map_err(|_| reason)
}

fn time(field: &RawValue) -> Result<i64, Rejection> {
    let time = integer(field)?;
    fields::TIMES_US
        .contains(&time)
        .then_some(time)
        .ok_or(Rejection::NotRepresentable)
}

fn is_integer(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
