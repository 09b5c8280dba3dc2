//! Headers of a record as text, for the one place that keeps them: a dead letter.

/// Headers as canonical JSON: `[["name","base64 value"],…]`, a missing value as null.
#[must_use]
pub(super) fn headers_json<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> String {
    let pairs: Vec<(&str, Option<String>)> = headers.map(|(name, value)| (name, value.map(base64))).collect();
    // Texts and nulls always have a JSON form.
    serde_json::to_string(&pairs).unwrap_or_default()
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let known = digit <= chunk.len();
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if known {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_a_missing_value_is_null() {
        let headers = [("trace", Some(&b"ab"[..])), ("none", None)];
        assert_eq!(headers_json(headers.into_iter()), r#"[["trace","YWI="],["none",null]]"#);
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
