//! Decimals as text: a number in a manifest would pass through a float on its way, and `0.1` would not come back as `0.1`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const MAX_LENGTH: usize = 24;
/// Digits behind the point that the engine's prices hold.
const PRICE_DIGITS: usize = 8;

/// A decimal number as text, such as `"2.0"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecimalText(pub String);

/// Why a text is no decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point.
    #[error("{0:?} is not a decimal number; write digits with at most one point, in quotes, such as \"0.5\"")]
    Malformed(String),
    /// More digits behind the point than a price holds, or too large.
    #[error("{0:?} cannot be held exactly; at most 8 digits behind the point and 10 before it")]
    NotRepresentable(String),
}

impl DecimalText {
    /// The nearest double.
    ///
    /// # Errors
    /// Where the text is not a decimal.
    pub fn to_f64(&self) -> Result<f64, DecimalError> {
        self.parts()?;
        self.0.parse().map_err(|_| self.malformed())
    }

    /// The exact value scaled by 1e-8, as prices are.
    ///
    /// # Errors
    /// Where the text is not a decimal or needs more than eight digits behind the point.
    pub fn to_scaled(&self) -> Result<i64, DecimalError> {
        let (negative, whole, fraction) = self.parts()?;
        let fraction = fraction.trim_end_matches('0');
        let unrepresentable = || DecimalError::NotRepresentable(self.0.clone());
        if fraction.len() > PRICE_DIGITS {
            return Err(unrepresentable());
        }
        let digits = format!("{whole}{fraction:0<PRICE_DIGITS$}");
        let value: i64 = digits.parse().map_err(|_| unrepresentable())?;
        Ok(if negative { -value } else { value })
    }

    /// The one canonical text of the value: no leading or trailing zeros, no point without digits behind it, no `-0`.
    ///
    /// # Errors
    /// Where the text is not a decimal.
    pub fn canonical(&self) -> Result<Self, DecimalError> {
        let (negative, whole, fraction) = self.parts()?;
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let sign = if negative && !(whole.is_empty() && fraction.is_empty()) {
            "-"
        } else {
            ""
        };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        Ok(Self(format!("{sign}{whole}{point}{fraction}")))
    }

    /// Sign, digits before the point (at least one), digits behind it (perhaps none).
    fn parts(&self) -> Result<(bool, &str, &str), DecimalError> {
        let (negative, digits) = match self.0.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, self.0.as_str()),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(self.malformed()),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(self.malformed());
        }
        Ok((negative, whole, fraction))
    }

    fn malformed(&self) -> DecimalError {
        DecimalError::Malformed(self.0.clone())
    }
}

impl From<&str> for DecimalText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DecimalText {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": rules(&[]),
        })
    }
}

/// The CEL rule that every decimal obeys, followed by those of one field as (rule, message): a field's rules replace its type's.
pub(crate) fn rules(of_the_field: &[(&str, &str)]) -> Value {
    let form = (
        "self.matches('^-?[0-9]+([.][0-9]+)?$')",
        "must be a decimal number in quotes, such as \"0.5\"",
    );
    std::iter::once(&form)
        .chain(of_the_field)
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.01", 1_000_000)]
    #[case("2", 200_000_000)]
    #[case("-1.50", -150_000_000)]
    #[case("0.00000001", 1)]
    fn a_decimal_is_held_exactly(#[case] text: &str, #[case] scaled: i64) {
        assert_eq!(DecimalText::from(text).to_scaled(), Ok(scaled));
    }

    #[rstest]
    #[case("")]
    #[case("1e5")]
    #[case("1.")]
    #[case(".5")]
    #[case("NaN")]
    #[case("1,5")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(
            DecimalText::from(text).to_f64(),
            Err(DecimalError::Malformed(text.to_owned()))
        );
    }

    #[test]
    fn a_ninth_digit_behind_the_point_is_refused_as_a_price() {
        let error = DecimalText::from("0.000000001").to_scaled().unwrap_err();
        assert!(error.to_string().contains("at most 8 digits"), "{error}");
    }

    #[rstest]
    #[case("2.0", "2")]
    #[case("02.50", "2.5")]
    #[case("-0.0", "0")]
    fn equal_values_have_one_canonical_text(#[case] text: &str, #[case] canonical: &str) {
        assert_eq!(DecimalText::from(text).canonical().unwrap().0, canonical);
    }
}
