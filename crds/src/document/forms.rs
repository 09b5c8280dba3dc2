//! What the patterns of the schema ask for, in words and with an example: a regular expression is for machines.

/// Pattern and form.
const FORMS: [(&str, &str); 5] = [
    (
        r"^[^\s,:]+:[0-9]{1,5}(,[^\s,:]+:[0-9]{1,5})*$",
        "write HOST:PORT, several with commas between, such as kafka-1:9092,kafka-2:9092",
    ),
    (
        r"^[A-Za-z0-9._-]+$",
        "write letters, digits, dots, underscores and hyphens, such as raw.trades",
    ),
    (
        r"^[a-z_][a-z0-9_]*$",
        "write small letters, digits and underscores, no digit first, such as assay",
    ),
    (
        r"^[A-Z0-9._/-]+$",
        "write capital letters, digits, dots, underscores, slashes and hyphens, such as BTCUSDT or BTC-USD",
    ),
    (
        r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "write small letters, digits and hyphens, a letter first and no hyphen last, such as vwap-reversion",
    ),
];

/// The form that a pattern asks for; a pattern without one is shown itself.
pub(super) fn form(pattern: &str) -> String {
    let known = FORMS.iter().find(|(known, _)| *known == pattern);
    known.map_or_else(|| format!("it must match {pattern}"), |(_, form)| (*form).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;
    use serde_json::Value;

    use super::*;
    use crate::schema::pipeline_schema;

    fn patterns<'a>(schema: &'a Value, found: &mut BTreeSet<&'a str>) {
        if let Value::Object(fields) = schema {
            found.extend(fields.get("pattern").and_then(Value::as_str));
            fields.values().for_each(|field| patterns(field, found));
        }
    }

    #[test]
    fn every_pattern_of_the_schema_is_said_in_words_and_none_beside() {
        let mut found = BTreeSet::new();
        patterns(pipeline_schema(), &mut found);
        assert_eq!(found, FORMS.iter().map(|(pattern, _)| *pattern).collect());
    }

    #[test]
    fn every_example_has_the_form_that_it_shows() {
        for (pattern, form) in FORMS {
            let (_, examples) = form.split_once("such as ").unwrap();
            let pattern = Regex::new(pattern).unwrap();
            assert!(
                examples.split(" or ").all(|example| pattern.is_match(example)),
                "{form}"
            );
        }
    }
}
