//! Decimal numbers as integers scaled by 1e-8. No float is involved between text and integer.

use std::fmt;

/// Units per one: prices and quantities are integers in 1e-8.
pub const SCALE: i64 = 100_000_000;

/// Decimal digits behind the point that the scale holds.
const SCALE_DIGITS: i64 = 8;

/// 10^18 is the largest power of ten that an `i64` holds.
const LARGEST_POWER: i64 = 18;

/// Why a text gives no scaled integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixedPointError {
    /// Not `-digits.digits` with an optional exponent.
    #[error("not a decimal number; write digits with at most one point, such as 61671.55 or 3.844E-5")]
    Malformed,
    /// Below zero; the text itself is well formed.
    #[error("below zero")]
    Negative,
    /// A ninth digit behind the point, or more than an `i64` in 1e-8 holds.
    #[error("cannot be held exactly; at most 8 digits behind the point and values below 92233720368")]
    NotRepresentable,
}

/// Parses an unsigned decimal number, with or without exponent, into units of 1e-8, exactly.
///
/// # Errors
/// Malformed before negative before not representable, whichever holds first; `-0` is zero.
pub fn parse(text: &str) -> Result<i64, FixedPointError> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = Digits::read(magnitude).ok_or(FixedPointError::Malformed)?;
    match digits.significand {
        Some(0) => Ok(0),
        _ if negative => Err(FixedPointError::Negative),
        Some(significand) => scale(significand, digits.exponent).ok_or(FixedPointError::NotRepresentable),
        None => Err(FixedPointError::NotRepresentable),
    }
}

/// `significand × 10^(exponent + 8)`; the significand ends in a digit other than 0, so a negative power is inexact.
fn scale(significand: u64, exponent: i64) -> Option<i64> {
    let power = exponent.saturating_add(SCALE_DIGITS);
    if !(0..=LARGEST_POWER).contains(&power) {
        return None;
    }
    let factor = 10_i64.checked_pow(u32::try_from(power).ok()?)?;
    i64::try_from(significand).ok()?.checked_mul(factor)
}

/// A number as `significand × 10^exponent`, zeros at its end moved into the exponent.
struct Digits {
    /// `None` where it needs more than a `u64`: more significant digits than any scaled value has.
    significand: Option<u64>,
    exponent: i64,
}

impl Digits {
    /// `None` where the text is not `digits[.digits][e[±]digits]`.
    fn read(text: &str) -> Option<Self> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (text.get(..at)?, read_exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (number, ""),
        };
        if whole.is_empty() {
            return None;
        }
        let mut significand = Some(0_u64);
        let mut zeros = 0_u32;
        for digit in whole.bytes().chain(fraction.bytes()) {
            match digit {
                b'0' => zeros = zeros.saturating_add(1),
                b'1'..=b'9' => {
                    significand = push(significand, zeros, digit - b'0');
                    zeros = 0;
                }
                _ => return None,
            }
        }
        let behind_point = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.saturating_add(i64::from(zeros)).saturating_sub(behind_point);
        Some(Self { significand, exponent })
    }
}

/// Appends `zeros` zeros and one digit.
fn push(significand: Option<u64>, zeros: u32, digit: u8) -> Option<u64> {
    match significand? {
        0 => Some(u64::from(digit)),
        value => value
            .checked_mul(10_u64.checked_pow(zeros.checked_add(1)?)?)?
            .checked_add(u64::from(digit)),
    }
}

/// Exponents beyond any use saturate: with a significand they are out of range either way.
fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX / 2);
    Some(if negative { -magnitude } else { magnitude })
}

/// Shows a scaled integer as a decimal number with no more digits than it needs: `6167155000000` as `61671.55`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub i64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, mut fraction) = (magnitude / SCALE.unsigned_abs(), magnitude % SCALE.unsigned_abs());
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let mut width = 8;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{whole}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("61671.55", 6_167_155_000_000)]
    #[case("61837.63000000", 6_183_763_000_000)]
    #[case("0.00000001", 1)]
    #[case("3.844E-5", 3_844)]
    #[case("1e3", 100_000_000_000)]
    #[case("100000e-5", SCALE)]
    #[case("1.000000000000000000000000000", SCALE)]
    #[case("0000000000000000000000000001", SCALE)]
    #[case("92233720368.54775807", i64::MAX)]
    #[case("0e99999999999999999999", 0)]
    #[case("-0.0", 0)]
    fn a_decimal_is_read_exactly(#[case] text: &str, #[case] scaled: i64) {
        assert_eq!(parse(text), Ok(scaled));
    }

    #[rstest]
    #[case("", FixedPointError::Malformed)]
    #[case("-", FixedPointError::Malformed)]
    #[case("+1", FixedPointError::Malformed)]
    #[case(".5", FixedPointError::Malformed)]
    #[case("5.", FixedPointError::Malformed)]
    #[case("1.2.3", FixedPointError::Malformed)]
    #[case("1e", FixedPointError::Malformed)]
    #[case("1e-", FixedPointError::Malformed)]
    #[case("1e1.5", FixedPointError::Malformed)]
    #[case("1,5", FixedPointError::Malformed)]
    #[case("NaN", FixedPointError::Malformed)]
    #[case("١", FixedPointError::Malformed)]
    #[case("99999999999999999999999x", FixedPointError::Malformed)]
    #[case("-1", FixedPointError::Negative)]
    #[case("-1e99", FixedPointError::Negative)]
    #[case("0.000000001", FixedPointError::NotRepresentable)]
    #[case("92233720368.54775808", FixedPointError::NotRepresentable)]
    #[case("1e-9", FixedPointError::NotRepresentable)]
    #[case("1e99999999999999999999", FixedPointError::NotRepresentable)]
    #[case("1e-99999999999999999999", FixedPointError::NotRepresentable)]
    #[case("100000000000000000000001", FixedPointError::NotRepresentable)]
    fn anything_else_is_refused_with_its_reason(#[case] text: &str, #[case] error: FixedPointError) {
        assert_eq!(parse(text), Err(error));
    }

    #[rstest]
    #[case(0, "0")]
    #[case(1, "0.00000001")]
    #[case(6_167_155_000_000, "61671.55")]
    #[case(-150_000_000, "-1.5")]
    #[case(SCALE * 10, "10")]
    #[case(i64::MIN, "-92233720368.54775808")]
    fn a_scaled_integer_is_shown_with_the_digits_it_needs(#[case] scaled: i64, #[case] text: &str) {
        assert_eq!(Decimal(scaled).to_string(), text);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in 0..=i64::MAX) {
            prop_assert_eq!(parse(&Decimal(value).to_string()), Ok(value));
        }

        #[test]
        fn an_exponent_moves_the_point(value in 1..=99_999_999_999_i64, exponent in 0..=8_u32) {
            let text = format!("{value}e-{exponent}");
            let scaled = i128::from(value) * i128::from(SCALE) / 10_i128.pow(exponent);
            prop_assert_eq!(parse(&text).ok().map(i128::from), i64::try_from(scaled).ok().map(i128::from));
        }
    }
}
