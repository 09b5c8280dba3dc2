//! The fast path of the decoder: reads a canonical trade exactly as `encode` writes it, without allocating.
//!
//! It either gives the record or declines. It never rejects: whatever is out of the ordinary (other key order, white
//! space, escapes, numbers where texts are usual, a value out of range) is for the full decoder to judge.

use assay_engine::{Record, Side, Trade};

use super::fields;

/// Decimal digits behind the point of a scaled value.
const SCALE_DIGITS: usize = 8;

/// No number of more digits than this can overflow an `i64`.
const SAFE_DIGITS: usize = 18;

/// Reads one canonical trade; `None` leaves the value to the full decoder.
pub(super) fn scan(value: &[u8]) -> Option<Record<'_>> {
    let mut rest = Rest(value);
    rest.literal(br#"{"v":1,"venue":""#)?;
    let venue = rest.text(fields::is_venue_byte)?;
    rest.literal(br#"","symbol":""#)?;
    let symbol = rest.text(fields::is_symbol_byte)?;
    rest.literal(br#"","trade_id":"#)?;
    let trade_id = u64::try_from(rest.integer()?).ok()?;
    rest.literal(br#","price":""#)?;
    let price = rest.decimal()?;
    rest.literal(br#"","quantity":""#)?;
    let quantity = rest.decimal()?;
    rest.literal(br#"","side":""#)?;
    let side = rest.side()?;
    rest.literal(br#"","event_time_us":"#)?;
    let event_time_us = rest.time()?;
    rest.literal(br#","received_time_us":"#)?;
    let received_time_us = rest.time()?;
    (rest.0 == b"}" && price > 0 && quantity > 0).then_some(Record::Trade(Trade {
        venue,
        symbol,
        trade_id,
        price,
        quantity,
        side,
        event_time_us,
        received_time_us,
    }))
}

/// The bytes not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// One to 32 bytes of an ASCII set, up to a byte outside of it; the literal that follows must be the quote.
    fn text(&mut self, allowed: fn(u8) -> bool) -> Option<&'a str> {
        let length = self.0.iter().position(|&byte| !allowed(byte))?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        (1..=fields::MAX_NAME_BYTES).contains(&length).then_some(())?;
        std::str::from_utf8(text).ok()
    }

    fn side(&mut self) -> Option<Side> {
        match self.literal(b"buy") {
            Some(()) => Some(Side::Buy),
            None => self.literal(b"sell").map(|()| Side::Sell),
        }
    }

    /// Appends the leading digits to `value`; gives the new value and how many there were.
    fn digits(&mut self, mut value: i64) -> (i64, usize) {
        let mut length = 0;
        while let Some(digit) = self
            .0
            .get(length)
            .map(|byte| byte.wrapping_sub(b'0'))
            .filter(|&digit| digit < 10)
        {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            length += 1;
        }
        self.0 = self.0.get(length..).unwrap_or_default();
        (value, length)
    }

    /// A JSON integer without sign; leading zeros are no JSON.
    fn integer(&mut self) -> Option<i64> {
        let leading_zero = self.0.first() == Some(&b'0');
        let (value, length) = self.digits(0);
        ((1..=SAFE_DIGITS).contains(&length) && !(leading_zero && length > 1)).then_some(value)
    }

    fn time(&mut self) -> Option<i64> {
        self.integer().filter(|time| fields::TIMES_US.contains(time))
    }

    /// `digits[.digits]` scaled by 1e-8.
    fn decimal(&mut self) -> Option<i64> {
        let (whole, whole_digits) = self.digits(0);
        let (value, behind_point) = match self.literal(b".") {
            Some(()) => Some(self.digits(whole)).filter(|(_, digits)| *digits > 0)?,
            None => (whole, 0),
        };
        let missing = SCALE_DIGITS.checked_sub(behind_point)?;
        (1..=SAFE_DIGITS - SCALE_DIGITS).contains(&whole_digits).then_some(())?;
        Some(value * POWERS.get(missing)?)
    }
}

/// Powers of ten up to the scale.
const POWERS: [i64; SCALE_DIGITS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
