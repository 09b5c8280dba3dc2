//! Edits of a right document, each told by a few bytes: near misses that no random text hits.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

const DOCUMENTS: [&str; 3] = [
    include_str!("../../../crds/tests/documents/full-v1.yaml"),
    include_str!("../../../deploy/samples/demo.yaml"),
    include_str!("../../../deploy/samples/majors.yaml"),
];

/// More edits than a mistaken human makes at a time.
const MOST_EDITS: usize = 8;

/// A turn from here on ends the walk where it is.
const ENDS_FROM: u8 = 224;

/// Texts at the edge of what the fields allow.
const TEXTS: [&str; 24] = [
    "",
    "0",
    "0s",
    "1ms",
    "999999h",
    "99999999m",
    "999999999s",
    "1h30m",
    "90m",
    "30s1h",
    "7d",
    "-1",
    "-0.0",
    "0.50",
    "00.5",
    "1e5",
    "99999999999999999999999999999999",
    "0.00000001",
    "0.000000001",
    "92233720368.54775808",
    "VwapReversion",
    "RangeBreakout",
    "BTCUSDT",
    "a-b",
];

static PARSED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    DOCUMENTS
        .iter()
        .map(|text| serde_saphyr::from_str(text).expect("a document"))
        .collect()
});

/// A sample document after as many edits as the bytes tell.
pub(super) fn edited(input: &mut Unstructured<'_>) -> Value {
    let which = usize::from(input.arbitrary::<u8>().unwrap_or_default());
    let mut document = PARSED[which % PARSED.len()].clone();
    for _ in 0..MOST_EDITS {
        if input.is_empty() || edit(&mut document, input).is_err() {
            break;
        }
    }
    document
}

/// Walks down at random, and changes the value where the walk ends.
fn edit(place: &mut Value, input: &mut Unstructured<'_>) -> Result<()> {
    let turn: u8 = input.arbitrary()?;
    if turn >= ENDS_FROM || child(place, turn).is_none() {
        return change(place, input);
    }
    child(place, turn).map_or(Ok(()), |inner| edit(inner, input))
}

/// One of the values inside, where there are any.
fn child(place: &mut Value, turn: u8) -> Option<&mut Value> {
    let turn = usize::from(turn);
    match place {
        Value::Object(map) if !map.is_empty() => {
            let at = turn % map.len();
            map.values_mut().nth(at)
        }
        Value::Array(items) if !items.is_empty() => {
            let at = turn % items.len();
            items.get_mut(at)
        }
        _ => None,
    }
}

fn change(place: &mut Value, input: &mut Unstructured<'_>) -> Result<()> {
    match (input.arbitrary::<u8>()? % 10, &mut *place) {
        (0, Value::Object(map)) => remove(map, input)?,
        (1, Value::Object(map)) => drop(map.insert(input.arbitrary()?, value(input)?)),
        (2, Value::Object(map)) => rename(map, input)?,
        (0 | 1, Value::Array(items)) if !items.is_empty() => {
            let copy = items[input.choose_index(items.len())?].clone();
            items.push(copy);
        }
        (2, Value::Array(items)) => drop(items.pop()),
        (3, Value::Array(items)) => items.reverse(),
        (0..=3, Value::String(text)) => respell(text, input)?,
        _ => *place = value(input)?,
    }
    Ok(())
}

fn remove(map: &mut Map<String, Value>, input: &mut Unstructured<'_>) -> Result<()> {
    if let Some(name) = nth_name(map, input)? {
        map.remove(&name);
    }
    Ok(())
}

/// A name with one letter less.
fn rename(map: &mut Map<String, Value>, input: &mut Unstructured<'_>) -> Result<()> {
    if let Some(mut name) = nth_name(map, input)? {
        let value = map.remove(&name).unwrap_or_default();
        name.pop();
        map.insert(name, value);
    }
    Ok(())
}

fn nth_name(map: &Map<String, Value>, input: &mut Unstructured<'_>) -> Result<Option<String>> {
    let at: u8 = input.arbitrary()?;
    Ok(map.keys().nth(usize::from(at) % map.len().max(1)).cloned())
}

/// One character inserted, replaced or removed.
fn respell(text: &mut String, input: &mut Unstructured<'_>) -> Result<()> {
    let mut characters: Vec<char> = text.chars().collect();
    let at = input.int_in_range(0..=characters.len())?;
    match input.arbitrary::<u8>()? % 3 {
        0 => characters.insert(at, char::from(input.arbitrary::<u8>()?)),
        1 if at < characters.len() => characters[at] = char::from(input.arbitrary::<u8>()? & 127),
        _ if at < characters.len() => drop(characters.remove(at)),
        _ => {}
    }
    *text = characters.into_iter().collect();
    Ok(())
}

fn value(input: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match input.arbitrary::<u8>()? % 8 {
        0 => Value::Null,
        1 => json!({}),
        2 => json!([]),
        3 => json!(input.arbitrary::<bool>()?),
        4 => json!(input.arbitrary::<i64>()?),
        5 => json!(input.arbitrary::<i8>()?),
        6 => json!(input.arbitrary::<String>()?),
        _ => json!(*input.choose(&TEXTS)?),
    })
}
