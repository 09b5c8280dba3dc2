//! The manifest reference: every field of the spec with type, default, limits and rules, written from the schema.

use std::fmt::Write;

use serde_json::Value;

use crate::schema::pipeline_schema;

const INTRODUCTION: &str = "\
# Manifest reference

<!-- Generated from crds/src by `make generate`; edit the types. -->

Every field of a `StrategyPipeline` (`assay.dev/v1alpha1`, short name `sp`). The same text is in `kubectl explain sp.spec`.
Durations are hours, minutes, seconds and milliseconds, larger ones first: `168h`, `1h30m`, `500ms`. Decimals are text in quotes: `\"0.5\"`.
";

/// The reference as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    let schema = pipeline_schema();
    section(&mut text, "spec", &schema["properties"]["spec"]);
    text.push_str("\n# Status\n\nWritten by the operator; nobody else writes it.\n");
    section(&mut text, "status", &schema["properties"]["status"]);
    text
}

/// One table for an object's own fields, then a section for each object below it.
fn section(text: &mut String, path: &str, schema: &Value) {
    let Some(fields) = fields(schema) else { return };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let _ = write!(text, "\n## {path}\n\n{}\n\n", one_line(&schema["description"]));
    text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    for (name, field) in fields {
        let default = default_of(field, required.contains(&name.as_str()));
        let _ = writeln!(
            text,
            "| `{name}` | {} | {default} | {} |",
            type_of(field),
            meaning(field)
        );
    }
    for rule in rules(schema) {
        let _ = write!(text, "\nRule: {rule}.\n");
    }
    for (name, field) in fields {
        section(text, &format!("{path}.{name}"), field);
        section(text, &format!("{path}.{name}[]"), &field["items"]);
    }
}

fn fields(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema
        .get("properties")?
        .as_object()
        .filter(|fields| !fields.is_empty())
}

fn type_of(field: &Value) -> String {
    if let Some(allowed) = field["enum"].as_array() {
        return allowed
            .iter()
            .filter_map(Value::as_str)
            .map(|v| format!("`{v}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if field["additionalProperties"].is_object() {
        return "map of text".to_owned();
    }
    let limits = match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!(" {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        _ => String::new(),
    };
    let name = field["type"].as_str().unwrap_or("any");
    format!("{}{limits}", if name == "array" { "list" } else { name })
}

fn default_of(field: &Value, required: bool) -> String {
    match field.get("default") {
        Some(Value::Object(_)) => "see below".to_owned(),
        Some(value) => format!("`{value}`"),
        None if required => "**required**".to_owned(),
        None => "none".to_owned(),
    }
}

fn meaning(field: &Value) -> String {
    let description = one_line(&field["description"]);
    let rules: Vec<String> = rules(field).map(|rule| format!("Rule: {rule}.")).collect();
    format!("{description} {}", rules.join(" ")).trim().replace('|', "\\|")
}

fn rules(schema: &Value) -> impl Iterator<Item = &str> {
    schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["message"].as_str())
}

fn one_line(description: &Value) -> String {
    description
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_settings_is_in_the_reference_with_its_default() {
        let text = markdown();
        for line in [
            "## spec.settings.indicators",
            "| `lateness` | string | `\"2s\"` |",
            "| `topic` | string | **required** |",
        ] {
            assert!(text.contains(line), "{line} is missing");
        }
    }

    #[test]
    fn no_field_goes_without_a_meaning() {
        let bare: Vec<String> = markdown()
            .lines()
            .filter(|line| line.starts_with("| `") && line.ends_with("|  |"))
            .map(str::to_owned)
            .collect();
        let borrowed = ["`name`", "`valueFrom`", "`value`"];
        let ours: Vec<&String> = bare
            .iter()
            .filter(|line| !borrowed.iter().any(|name| line.contains(name)))
            .collect();
        assert!(ours.len() < 60, "fields without a description: {ours:#?}");
    }
}
