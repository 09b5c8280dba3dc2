//! The structural part of the API server's validation, on our own schema: types, required and unknown fields, enumerations, limits,
//! patterns and the keys of list-maps. Not a general JSON-schema validator: it knows the keywords that a structural schema of ours uses.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

use super::forms::form;
use super::nearest::nearest;
use crate::problem::Problem;

/// Every finding of `value` against `schema`, paths from the document's root.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    check_node(schema, value, "", &mut found);
    for problem in found.iter_mut().filter(|problem| problem.path.is_empty()) {
        "document".clone_into(&mut problem.path);
    }
    found
}

fn check_node(schema: &Value, value: &Value, path: &str, found: &mut Vec<Problem>) {
    if value.is_null() {
        if schema.get("type").is_some() {
            found.push(Problem::new(path, "is empty; give it a value or remove it"));
        }
        return;
    }
    if let Some(message) = type_problem(schema, value) {
        found.push(Problem::new(path, message));
        return;
    }
    match value {
        Value::Object(map) => check_object(schema, map, path, found),
        Value::Array(items) => check_list(schema, items, path, found),
        Value::String(text) => check_text(schema, text, path, found),
        Value::Number(number) => check_number(schema, number.as_f64(), path, found),
        Value::Bool(_) | Value::Null => {}
    }
}

/// What is wrong with the type of a value, told by what to write.
fn type_problem(schema: &Value, value: &Value) -> Option<String> {
    let wanted = schema.get("type")?.as_str()?;
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if fits {
        return None;
    }
    Some(match wanted {
        "string" if value.is_number() || value.is_boolean() => format!("must be text: write \"{value}\" in quotes"),
        "object" => "must be a block of named fields".to_owned(),
        "array" => "must be a list".to_owned(),
        other => format!("must be of type {other}, not {value}"),
    })
}

fn check_object(schema: &Value, map: &Map<String, Value>, path: &str, found: &mut Vec<Problem>) {
    check_size(
        schema,
        map.len(),
        ["minProperties", "maxProperties"],
        path,
        "fields",
        found,
    );
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            found.push(Problem::new(
                join(path, name),
                format!("is missing{}", hint(known.get(name))),
            ));
        }
    }
    for (name, child) in map {
        if let Some(schema) = known
            .get(name)
            .or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
        {
            check_node(schema, child, &join(path, name), found);
        } else if !is_open(schema) {
            found.push(unknown(name, known, path));
        }
    }
}

/// What a missing field is for, from its description's first sentence.
fn hint(schema: Option<&Value>) -> String {
    let description = schema.and_then(|s| s["description"].as_str()).unwrap_or_default();
    let sentence = description.split(['.', '\n']).next().unwrap_or_default();
    if sentence.is_empty() {
        String::new()
    } else {
        format!("; it says: {sentence}")
    }
}

/// Whether fields beside the listed ones are allowed: the schema says so, or lists none.
fn is_open(schema: &Value) -> bool {
    let lists_none = schema.get("properties").is_none() && schema.get("additionalProperties").is_none();
    schema["x-kubernetes-preserve-unknown-fields"] == true || lists_none
}

fn unknown(name: &str, known: &Map<String, Value>, path: &str) -> Problem {
    let remedy = match nearest(name, known.keys().map(String::as_str)) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => format!("known here: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Problem::new(join(path, name), format!("is not a known field; {remedy}"))
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Problem>) {
    check_size(schema, items.len(), ["minItems", "maxItems"], path, "elements", found);
    check_keys(schema, items, path, found);
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check_node(schema, item, &format!("{path}[{index}]"), found);
        }
    }
}

/// Two elements of a list-map with one key are refused, as the API server does.
fn check_keys(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Problem>) {
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if keys.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let key: Vec<String> = keys
            .iter()
            .filter_map(|key| item.get(key))
            .map(Value::to_string)
            .collect();
        if key.len() == keys.len() && !seen.insert(key.clone()) {
            found.push(Problem::new(
                format!("{path}[{index}]"),
                format!("{} {} is there twice; keep one", keys.join("+"), key.join("+")),
            ));
        }
    }
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Vec<Problem>) {
    check_size(
        schema,
        text.chars().count(),
        ["minLength", "maxLength"],
        path,
        "characters",
        found,
    );
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            let near = nearest(text, allowed.iter().copied())
                .map(|name| format!("; did you mean {name}?"))
                .unwrap_or_default();
            found.push(Problem::new(
                path,
                format!("{text:?} is not one of {}{near}", allowed.join(", ")),
            ));
        }
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !matches(text, pattern)
    {
        found.push(Problem::new(
            path,
            format!("{text:?} has not the right form; {}", form(pattern)),
        ));
    }
}

/// Each pattern of the schema is compiled once. One that cannot be matches nothing.
fn matches(text: &str, pattern: &str) -> bool {
    static COMPILED: Mutex<BTreeMap<String, Option<Regex>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if !compiled.contains_key(pattern) {
        compiled.insert(pattern.to_owned(), Regex::new(pattern).ok());
    }
    let regex = compiled.get(pattern).and_then(Option::as_ref);
    regex.is_some_and(|regex| regex.is_match(text))
}

fn check_number(schema: &Value, number: Option<f64>, path: &str, found: &mut Vec<Problem>) {
    let Some(number) = number else { return };
    if let Some(least) = schema
        .get("minimum")
        .and_then(Value::as_f64)
        .filter(|least| number < *least)
    {
        found.push(Problem::new(path, format!("{number} is too small; at least {least}")));
    }
    if let Some(most) = schema
        .get("maximum")
        .and_then(Value::as_f64)
        .filter(|most| number > *most)
    {
        found.push(Problem::new(path, format!("{number} is too large; at most {most}")));
    }
}

fn check_size(schema: &Value, size: usize, limits: [&str; 2], path: &str, noun: &str, found: &mut Vec<Problem>) {
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    if let Some(least) = limit(limits[0]).filter(|least| (size as u64) < *least) {
        found.push(Problem::new(path, format!("has {size} {noun}; at least {least}")));
    }
    if let Some(most) = limit(limits[1]).filter(|most| (size as u64) > *most) {
        found.push(Problem::new(path, format!("has {size} {noun}; at most {most}")));
    }
}

/// A field's path; a name that nobody would see is quoted, so that every path names its field.
fn join(path: &str, name: &str) -> String {
    let is_hidden = |character: char| character.is_whitespace() || character.is_control();
    let name = if name.is_empty() || name.contains(is_hidden) {
        Cow::Owned(format!("{name:?}"))
    } else {
        Cow::Borrowed(name)
    };
    if path.is_empty() {
        name.into_owned()
    } else {
        format!("{path}.{name}")
    }
}
