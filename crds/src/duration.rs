//! Durations as people write them in manifests: hours, minutes, seconds, milliseconds; no days, because CEL's `duration()` knows none.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest text accepted: bounds what the API server must reckon with when it prices a CEL rule.
const MAX_LENGTH: usize = 32;
const UNITS: [(&str, i64); 4] = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// A duration as text, such as `168h`, `1h30m` or `500ms`; larger units first, whole numbers only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of whole numbers with units, larger units first.
    #[error(
        "{0:?} is not a duration; write hours, minutes, seconds and milliseconds, larger ones first, such as 1h30m or 500ms (a week is 168h)"
    )]
    Malformed(String),
    /// Beyond what 64 bits of microseconds hold.
    #[error("{0:?} is too long a duration; stay below 200000h")]
    TooLong(String),
}

impl DurationText {
    /// Length in microseconds, never negative.
    ///
    /// # Errors
    /// Where the text is not a duration or does not fit.
    pub fn micros(&self) -> Result<i64, DurationError> {
        let mut rest = self.0.as_str();
        let mut total: i64 = 0;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let (amount, unit, tail) = self.component(rest, next_unit)?;
            total = amount
                .checked_mul(UNITS[unit].1)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| DurationError::TooLong(self.0.clone()))?;
            next_unit = unit + 1;
            rest = tail;
        }
        if next_unit == 0 {
            Err(DurationError::Malformed(self.0.clone()))
        } else {
            Ok(total)
        }
    }

    /// One number with its unit: the number, the unit's index, what follows.
    fn component<'a>(&self, rest: &'a str, first_unit: usize) -> Result<(i64, usize, &'a str), DurationError> {
        let malformed = || DurationError::Malformed(self.0.clone());
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if number.is_empty() || index < first_unit {
            return Err(malformed());
        }
        let amount = number.parse().map_err(|_| DurationError::TooLong(self.0.clone()))?;
        Ok((amount, index, tail))
    }

    /// The one canonical text of a length in microseconds; what is below a millisecond is cut.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let mut rest = micros;
        let mut text = String::new();
        for (name, length) in UNITS {
            if rest >= length {
                text.push_str(&(rest / length).to_string());
                text.push_str(name);
                rest %= length;
            }
        }
        Self(if text.is_empty() { "0s".to_owned() } else { text })
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": rules(&[]),
        })
    }
}

/// The CEL rule that every duration obeys, followed by those of one field as (rule, message): a field's rules replace its type's.
pub(crate) fn rules(of_the_field: &[(&str, &str)]) -> Value {
    let form = (
        "self.matches('^([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$')",
        "must be a duration such as 168h, 1h30m, 2s or 500ms; days are not known, write a week as 168h",
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
    #[case("168h", 604_800_000_000)]
    #[case("1h30m", 5_400_000_000)]
    #[case("500ms", 500_000)]
    #[case("1s500ms", 1_500_000)]
    #[case("0s", 0)]
    fn a_duration_is_read_in_microseconds(#[case] text: &str, #[case] micros: i64) {
        assert_eq!(DurationText::from(text).micros(), Ok(micros));
    }

    #[rstest]
    #[case("7d")]
    #[case("")]
    #[case("5")]
    #[case("30s1h")]
    #[case("1h1h")]
    #[case("1.5h")]
    #[case("-1s")]
    fn anything_else_is_refused_with_an_example(#[case] text: &str) {
        let error = DurationText::from(text).micros().unwrap_err();
        assert!(error.to_string().contains("1h30m"), "{error}");
    }

    #[test]
    fn a_duration_that_overflows_is_refused() {
        let error = DurationText::from("99999999999h").micros().unwrap_err();
        assert_eq!(error, DurationError::TooLong("99999999999h".to_owned()));
    }

    #[rstest]
    #[case("90m", "1h30m")]
    #[case("3600s", "1h")]
    #[case("0h", "0s")]
    fn equal_lengths_have_one_canonical_text(#[case] text: &str, #[case] canonical: &str) {
        assert_eq!(
            DurationText::from_micros(DurationText::from(text).micros().unwrap()).0,
            canonical
        );
    }
}
