//! Headers of a record as text, for the one place that keeps them: a dead letter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Headers as canonical JSON: `[["name","base64 value"],…]` (RFC 4648, padded), a missing value as null.
#[must_use]
pub(super) fn headers_json<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> String {
    let pairs: Vec<(&str, Option<String>)> = headers
        .map(|(name, value)| (name, value.map(|value| STANDARD.encode(value))))
        .collect();
    // Texts and nulls always have a JSON form.
    serde_json::to_string(&pairs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_a_missing_value_is_null() {
        let headers = [("trace", Some(&b"ab"[..])), ("none", None)];
        assert_eq!(headers_json(headers.into_iter()), r#"[["trace","YWI="],["none",null]]"#);
    }
}
