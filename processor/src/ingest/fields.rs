//! What the fields of a canonical record may hold; shared by the decoder, its fast path and everything that feeds.

use std::ops::RangeInclusive;

/// Longest symbol or venue, bytes.
pub const MAX_NAME_BYTES: usize = 32;

/// Longest record value, bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Times a record may bear, microseconds: 1970 to the end of 9999. Sums of times cannot overflow inside of it.
pub const TIMES_US: RangeInclusive<i64> = 0..=253_402_300_799_999_999;

/// Whether a byte may stand in a symbol: `[A-Z0-9._/-]`.
#[must_use]
pub fn is_symbol_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-')
}

/// Whether a byte may stand in a venue's name: `[a-z0-9._-]`.
#[must_use]
pub fn is_venue_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// Whether a text is a symbol: 1 to 32 bytes of its set.
#[must_use]
pub fn is_symbol(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_symbol_byte)
}

/// Whether a text is a venue's name: 1 to 32 bytes of its set.
#[must_use]
pub fn is_venue(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_venue_byte)
}
