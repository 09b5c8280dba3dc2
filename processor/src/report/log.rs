//! The tables of the page: outcome log and data quality.

use std::collections::BTreeMap;

use super::price_chart::glyph;
use super::scale::date_time;
use super::svg::escape;
use super::{Fate, LogEntry};

/// The sign of a fate beside its word.
pub(super) fn sign(fate: Fate, up: bool) -> String {
    format!(
        r#"<svg class="sign" viewBox="0 0 16 16" aria-hidden="true">{}</svg>"#,
        glyph(fate, up, ((8.0, 8.0), 1.0), None)
    )
}

/// The outcome log, newest first.
pub(super) fn outcomes(entries: &[LogEntry]) -> String {
    if entries.is_empty() {
        return r#"<p class="none">No forecast was made: not enough data.</p>"#.to_owned();
    }
    let rows: String = entries.iter().map(outcome_row).collect();
    format!(
        r#"<div class="scroll"><table><thead><tr><th>made (UTC)</th><th>symbol</th><th>strategy</th><th>call</th><th>outcome</th><th class="n">probability</th><th class="n extra">base rate</th><th class="extra">confidence</th><th class="n">return, bp</th></tr></thead><tbody>{rows}</tbody></table></div>"#
    )
}

fn outcome_row(entry: &LogEntry) -> String {
    let call = if entry.up { "▲ up" } else { "▼ down" };
    let reason = if entry.void_reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", entry.void_reason.replace('_', " "))
    };
    let log_return = entry
        .log_return
        .map_or_else(|| "–".to_owned(), |log_return| format!("{:+.1}", log_return * 10_000.0));
    format!(
        r#"<tr><td>{}</td><td>{}</td><td>{}</td><td>{call}</td><td class="fate">{} {}{reason}</td><td class="n">{:.1} %</td><td class="n extra">{:.1} %</td><td class="extra">{}</td><td class="n">{log_return}</td></tr>"#,
        time_cell(entry.time_us),
        escape(&entry.symbol),
        escape(&entry.strategy),
        sign(entry.fate, entry.up),
        entry.fate.word(),
        entry.probability * 100.0,
        entry.base_rate * 100.0,
        entry.level.to_lowercase(),
    )
}

/// Phones show the time only.
fn time_cell(time_us: i64) -> String {
    let text = date_time(time_us);
    match text.split_once(' ') {
        Some((date, time)) => format!(r#"<span class="extra">{date} </span>{time}"#),
        None => text,
    }
}

/// What became of a record, and what that means.
const FATES: [(&str, &str); 4] = [
    ("accepted", "changed the state"),
    ("late", "came after their second had closed; counted, not used"),
    ("duplicate", "same venue, symbol and id as an earlier one"),
    ("faulted", "of a symbol that was left out after a fault"),
];
/// Records that are no trades.
const OTHERS: [(&str, &str); 2] = [
    ("ticks", "moved event time in a silent partition"),
    ("gaps", "told of missing trades; outcomes across one are void"),
];

/// Records by what became of them, each with what it means.
pub(super) fn quality(records: &BTreeMap<&'static str, u64>) -> String {
    let count = |name: &str| records.get(name).copied().unwrap_or(0);
    let is_dead = |name: &str| FATES.iter().chain(&OTHERS).all(|(known, _)| *known != name);
    let dead = records.iter().filter(|(name, _)| is_dead(name));
    let trades = records.values().sum::<u64>() - OTHERS.iter().map(|(name, _)| count(name)).sum::<u64>();
    let rows = FATES
        .iter()
        .map(|(name, meaning)| quality_row(name, count(name), trades, meaning));
    let dead = dead.map(|(reason, count)| {
        quality_row(
            &format!("dead letter: {}", reason.replace('_', " ")),
            *count,
            trades,
            "kept aside with its reason",
        )
    });
    let others = OTHERS
        .iter()
        .map(|(name, meaning)| quality_row(name, count(name), 0, meaning));
    let rows: String = rows.chain(dead).chain(others).collect();
    format!(
        r#"<div class="scroll"><table><thead><tr><th>records</th><th class="n">count</th><th class="n">share</th><th class="extra">meaning</th></tr></thead><tbody>{rows}</tbody></table></div>"#
    )
}

/// `of` zero: the count is no share of the trades.
#[allow(clippy::cast_precision_loss, reason = "shares are shown with three digits")]
fn quality_row(name: &str, count: u64, of: u64, meaning: &str) -> String {
    let share = if of == 0 {
        "–".to_owned()
    } else {
        format!("{:.3} %", count as f64 / of as f64 * 100.0)
    };
    format!(
        r#"<tr><td>{}</td><td class="n">{}</td><td class="n">{share}</td><td class="extra">{meaning}</td></tr>"#,
        escape(name),
        grouped(count)
    )
}

/// A count with its thousands apart.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let head = digits.len() % 3;
    let mut groups = vec![&digits[..head]];
    groups.extend((head..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups
        .into_iter()
        .filter(|group| !group.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}
