//! The fast path of the decoder: reads a canonical trade exactly as `encode` writes it, without allocating.
//!
//! It either gives the record or declines. It never rejects: whatever is out of the ordinary (other key order, white
//! space, escapes, numbers where texts are usual, a value out of range) is for the full decoder to judge.

use assay_engine::{Record, Side, Trade};

use super::fields;

/// Decimal digits behind the point of a scaled value.
const SCALE_DIGITS: usize = 8;

/// Digits that are read at once.
const WORD_DIGITS: usize = 8;

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
    /// A literal of a length that the compiler knows is compared in a few words.
    fn literal<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (found, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        (found == expected).then_some(())
    }

    /// One to 32 bytes of an ASCII set, up to a byte outside of it; the literal that follows must be the quote.
    fn text(&mut self, allowed: impl Fn(u8) -> bool) -> Option<&'a str> {
        let length = self.0.iter().position(|&byte| !allowed(byte))?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        (1..=fields::MAX_NAME_BYTES).contains(&length).then_some(())?;
        std::str::from_utf8(text).ok()
    }

    fn side(&mut self) -> Option<Side> {
        let before = self.0;
        if self.literal(b"buy").is_some() {
            return Some(Side::Buy);
        }
        self.0 = before;
        self.literal(b"sell").map(|()| Side::Sell)
    }

    /// Appends the leading digits to `value`; gives the new value and how many there were.
    fn digits(&mut self, mut value: i64) -> (i64, usize) {
        let mut length = 0;
        loop {
            let (part, count) = leading_digits(self.0);
            value = value.wrapping_mul(POWERS[count]).wrapping_add(part);
            self.0 = self.0.get(count..).unwrap_or_default();
            length += count;
            if count < WORD_DIGITS {
                return (value, length);
            }
        }
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
        let (value, behind_point) = match self.0.split_first() {
            Some((b'.', behind)) => {
                self.0 = behind;
                Some(self.digits(whole)).filter(|(_, digits)| *digits > 0)?
            }
            _ => (whole, 0),
        };
        let missing = SCALE_DIGITS.checked_sub(behind_point)?;
        (1..=SAFE_DIGITS - SCALE_DIGITS).contains(&whole_digits).then_some(())?;
        Some(value * POWERS.get(missing)?)
    }
}

/// The number that up to eight leading digits write, and how many they are, without a loop over them: pairs of digits are
/// joined in all places of a word at once, then pairs of pairs (D. Lemire, "Quickly parsing eight digits", 2018).
fn leading_digits(bytes: &[u8]) -> (i64, usize) {
    let word = bytes.first_chunk().copied().unwrap_or_else(|| padded(bytes));
    // A digit becomes its value. Adding 0x76 sets the highest bit of what is above nine, from the first such byte on.
    let values = u64::from_le_bytes(word) ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / u8::BITS;
    // The last digit goes to the highest byte, and zeros come in before the first.
    let digits = values.checked_shl(u64::BITS - count * u8::BITS).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first_and_third = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let second_and_fourth = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    let number = first_and_third.wrapping_add(second_and_fourth) >> 32;
    #[allow(clippy::cast_possible_wrap, reason = "below 10^8")]
    (number as i64, count as usize)
}

/// Fewer than eight bytes, with none that is a digit behind them.
#[cold]
fn padded(bytes: &[u8]) -> [u8; WORD_DIGITS] {
    let mut word = [0; WORD_DIGITS];
    for (place, byte) in word.iter_mut().zip(bytes) {
        *place = *byte;
    }
    word
}

/// Powers of ten up to the scale.
const POWERS: [i64; SCALE_DIGITS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::leading_digits;

    #[rstest]
    #[case::none("", (0, 0))]
    #[case::no_digit("}", (0, 0))]
    #[case::neighbours_of_the_digits("/:", (0, 0))]
    #[case::one("7", (7, 1))]
    #[case::short_of_a_word("61671", (61_671, 5))]
    #[case::up_to_the_point("61671.55\"", (61_671, 5))]
    #[case::zeros("00000060", (60, 8))]
    #[case::a_whole_word("98765432", (98_765_432, 8))]
    #[case::more_than_a_word("123456789", (12_345_678, 8))]
    #[case::bytes_beyond_ascii("12\u{ff}45678", (12, 2))]
    fn digits_are_read_up_to_the_first_other_byte(#[case] text: &str, #[case] expected: (i64, usize)) {
        assert_eq!(leading_digits(text.as_bytes()), expected);
    }
}
