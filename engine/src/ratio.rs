//! Exact decimal text of ratios and of square roots, for results that are compared with published figures.

use crate::wide::U256;

/// `numerator / denominator` with `digits` digits behind the point, rounded half away from zero; `None` where the
/// denominator is not above zero or an intermediate result needs more than 128 bits.
#[must_use]
pub fn quotient(numerator: i128, denominator: i128, digits: u32) -> Option<String> {
    let divisor = u128::try_from(denominator).ok().filter(|divisor| *divisor > 0)?;
    let magnitude = numerator.unsigned_abs();
    let mut scaled = magnitude / divisor;
    let mut rest = magnitude % divisor;
    for _ in 0..digits {
        let next = rest.checked_mul(10)?;
        scaled = scaled.checked_mul(10)?.checked_add(next / divisor)?;
        rest = next % divisor;
    }
    if rest >= divisor - rest {
        scaled = scaled.checked_add(1)?;
    }
    let sign = if numerator < 0 && scaled > 0 { "-" } else { "" };
    Some(format!("{sign}{}", place_point(scaled, digits)))
}

/// `√square / denominator` with `digits` digits behind the point, rounded half up; `None` where the denominator is zero
/// or an intermediate result needs more than 256 bits.
#[must_use]
pub fn root_quotient(square: U256, denominator: u128, digits: u32) -> Option<String> {
    let power = 10_u128.checked_pow(digits)?;
    let widened = square.checked_mul(power)?.checked_mul(power)?;
    let doubled = widened.checked_mul(4)?.square_root().checked_div(denominator)?;
    Some(place_point(doubled.div_ceil(2), digits))
}

/// Writes an integer in units of 10^−`digits` as a decimal number.
fn place_point(scaled: u128, digits: u32) -> String {
    if digits == 0 {
        return scaled.to_string();
    }
    let width = digits as usize + 1;
    let mut text = format!("{scaled:0width$}");
    text.insert(text.len() - digits as usize, '.');
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, 3, 4, "0.3333")]
    #[case(2, 3, 4, "0.6667")]
    #[case(-1, 8, 2, "-0.13")]
    #[case(-1, 1_000, 2, "0.00")]
    #[case(7, 2, 0, "4")]
    #[case(6_167_155, 100, 2, "61671.55")]
    fn a_quotient_is_rounded_half_away_from_zero(
        #[case] numerator: i128,
        #[case] denominator: i128,
        #[case] digits: u32,
        #[case] text: &str,
    ) {
        assert_eq!(quotient(numerator, denominator, digits).as_deref(), Some(text));
    }

    #[test]
    fn a_quotient_that_cannot_be_exact_is_not_given() {
        assert_eq!(quotient(1, 0, 2), None);
        assert_eq!(quotient(1, -1, 2), None);
        assert_eq!(quotient(i128::MAX, 1, 1), None);
    }

    #[test]
    fn the_root_of_two_has_its_known_digits() {
        assert_eq!(
            root_quotient(U256::from_halves(0, 2), 1, 12).as_deref(),
            Some("1.414213562373")
        );
        assert_eq!(root_quotient(U256::from_halves(0, 9), 4, 3).as_deref(), Some("0.750"));
        assert_eq!(root_quotient(U256::from_halves(0, 3), 1, 3).as_deref(), Some("1.732"));
        assert_eq!(root_quotient(U256::from_halves(0, 8), 1, 3).as_deref(), Some("2.828"));
        assert_eq!(root_quotient(U256::from_halves(0, 1), 8, 2).as_deref(), Some("0.13"));
        assert_eq!(root_quotient(U256::from_halves(0, 9), 0, 3), None);
        assert_eq!(root_quotient(U256::from_halves(u128::MAX, 0), 1, 3), None);
    }
}
