//! The texts of a symbol's latest state, as publishers and frozen forecasts carry them.
//!
//! Numbers are shown so that they read back the same; what is unknown is empty and has its reason beside it.

use std::sync::Arc;

use crate::effects::{Fields, SymbolView};
use crate::evaluation::FrozenForecast;
use crate::fixed_point::Decimal;
use crate::indicators::{IndicatorSnapshot, Reading, Unavailable};
use crate::rules::Rules;
use crate::slot::{LastTrade, PriceUnits};
use crate::symbol_state::{Head, LiveSymbol};
use crate::symbol_table::{Entry, SymbolState};

/// What a published probability is.
const MEANING: &str = "share of comparable past cases";

/// The closed part of a view as it was made last.
#[derive(Debug, Clone)]
pub(crate) struct ClosedText {
    version: i64,
    fields: Arc<Fields>,
}

/// A view, with the closed part made anew if it changed since it was made last.
pub(crate) fn render(entry: &mut Entry, rules: &Rules) -> SymbolView {
    let version = closed_version(&entry.state);
    let current = entry.closed_text.as_ref().filter(|text| text.version == version);
    let fields = current.map_or_else(
        || Arc::new(closed_fields(&entry.state, rules)),
        |text| Arc::clone(&text.fields),
    );
    entry.closed_text = Some(ClosedText {
        version,
        fields: Arc::clone(&fields),
    });
    view(entry, fields)
}

/// A view made from nothing.
pub(crate) fn render_anew(entry: &Entry, rules: &Rules) -> SymbolView {
    view(entry, Arc::new(closed_fields(&entry.state, rules)))
}

fn view(entry: &Entry, closed: Arc<Fields>) -> SymbolView {
    SymbolView {
        symbol: entry.name.to_string(),
        version: entry.version(),
        closed_version: closed_version(&entry.state),
        last: last_fields(last_trade(&entry.state)),
        closed,
    }
}

fn closed_version(state: &SymbolState) -> i64 {
    match state {
        SymbolState::Live(live) => live.head.closed_version,
        SymbolState::Faulted(faulted) => faulted.version,
    }
}

fn last_trade(state: &SymbolState) -> Option<&LastTrade> {
    match state {
        SymbolState::Live(live) => live.head.last.as_ref(),
        SymbolState::Faulted(faulted) => faulted.last.as_ref(),
    }
}

fn last_fields(last: Option<&LastTrade>) -> Fields {
    let text = |show: fn(&LastTrade) -> String| last.map(show).unwrap_or_default();
    vec![
        ("price", text(|last| Decimal(last.price).to_string())),
        ("quantity", text(|last| Decimal(last.quantity).to_string())),
        ("side", text(|last| if last.bought { "buy" } else { "sell" }.to_owned())),
        ("event_time_us", text(|last| last.event_time_us.to_string())),
    ]
}

fn closed_fields(state: &SymbolState, rules: &Rules) -> Fields {
    let live = match state {
        SymbolState::Live(live) => Some(live.as_ref()),
        SymbolState::Faulted(_) => None,
    };
    let head = live.map(|live| &live.head);
    let snapshot = head.and_then(|head| head.snapshot(head.as_of_us?, rules));
    let readings = readings(snapshot.as_ref(), head.and_then(|head| head.units));
    let number = |value: Option<String>| value.unwrap_or_default();
    let mut fields = vec![
        ("status", if live.is_some() { "live" } else { "faulted" }.to_owned()),
        (
            "watermark_us",
            number(head.and_then(|head| head.as_of_us).map(|time_us| time_us.to_string())),
        ),
        ("reasons", reasons(&readings)),
        ("armed", head.map_or_else(|| "[]".to_owned(), |head| armed(head, rules))),
        (
            "forecasts",
            live.map_or_else(|| "[]".to_owned(), |live| open_forecasts(live, rules)),
        ),
    ];
    fields.extend(
        readings
            .into_iter()
            .map(|(name, reading)| (name, reading.unwrap_or_default())),
    );
    fields
}

type NamedReading = (&'static str, Reading<String>);

/// Every indicator by name, in the order of names; each text is a JSON number.
fn readings(snapshot: Option<&IndicatorSnapshot<'_>>, units: Option<PriceUnits>) -> Vec<NamedReading> {
    let seen = snapshot.ok_or(Unavailable::Warming);
    let area = seen.and_then(IndicatorSnapshot::value_area);
    let vwap = seen.and_then(|seen| seen.vwap);
    let range = seen.and_then(|seen| seen.range);
    let price = |value: i64| Decimal(value).to_string();
    vec![
        (
            "anchored_vwap",
            seen.and_then(|seen| seen.anchored_vwap)
                .map(|reading| reading.vwap.to_string()),
        ),
        ("high", seen.and_then(|seen| seen.high).map(price)),
        ("low", seen.and_then(|seen| seen.low).map(price)),
        ("point_of_control", area.map(|area| price(area.point_of_control))),
        ("range_high", range.map(|range| price(range.high))),
        ("range_low", range.map(|range| price(range.low))),
        ("slot_vwap", seen.map(|seen| seen.price.to_string())),
        (
            "standard_deviation",
            vwap.map(|reading| reading.standard_deviation.to_string()),
        ),
        (
            "tick_size",
            units.map(|units| price(units.tick)).ok_or(Unavailable::Warming),
        ),
        ("trade_count", seen.map(|seen| seen.window_trades.to_string())),
        ("value_area_high", area.map(|area| price(area.high))),
        ("value_area_low", area.map(|area| price(area.low))),
        (
            "volatility",
            seen.and_then(|seen| seen.volatility).map(|sigma| sigma.to_string()),
        ),
        ("vwap", vwap.map(|reading| reading.vwap.to_string())),
        ("z", vwap.and_then(|reading| reading.z).map(|z| z.to_string())),
    ]
}

/// The indicators as a canonical JSON object: keys sorted, `null` where unknown.
pub(crate) fn indicators_json(snapshot: &IndicatorSnapshot<'_>, units: PriceUnits) -> String {
    let member = |(name, reading): NamedReading| format!(r#""{name}":{}"#, reading.as_deref().unwrap_or("null"));
    let members: Vec<String> = readings(Some(snapshot), Some(units)).into_iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// Why indicators are unknown, as a JSON object by name.
fn reasons(readings: &[NamedReading]) -> String {
    let unknown = readings
        .iter()
        .filter_map(|(name, reading)| Some((name, reading.as_ref().err()?)));
    let members: Vec<String> = unknown
        .map(|(name, reason)| format!(r#""{name}":"{}""#, reason.as_str()))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Names of the strategies that would call the next crossing, as a JSON array.
fn armed(head: &Head, rules: &Rules) -> String {
    let strategies = rules.strategies.iter().zip(&head.arming);
    let names = strategies
        .filter(|(_, arming)| arming.is_armed())
        .map(|(strategy, _)| format!("\"{}\"", strategy.name()));
    format!("[{}]", names.collect::<Vec<_>>().join(","))
}

/// The forecasts whose outcome is awaited, as a JSON array in the order of names.
fn open_forecasts(live: &LiveSymbol, rules: &Rules) -> String {
    let parameters = &rules.parameters;
    let open = parameters.by_name().iter().filter_map(|strategy| {
        let forecast = live.probabilities.tracker(*strategy)?.open_forecast()?;
        Some(forecast_json(
            forecast,
            parameters.name(*strategy),
            parameters.revision(),
        ))
    });
    format!("[{}]", open.collect::<Vec<_>>().join(","))
}

fn forecast_json(forecast: &FrozenForecast, strategy: &str, revision: &str) -> String {
    let key = &forecast.key;
    format!(
        concat!(
            r#"{{"base_rate":{},"cases":{},"direction":{},"emitted_at_us":{},"horizon_us":{},"interval":[{},{}],"#,
            r#""level":"{}","lift":{},"meaning":"{}","price":{},"probability":{},"revision":"{}","strategy":"{}","#,
            r#""threshold":{}}}"#
        ),
        forecast.base_rate(),
        forecast.cases,
        key.direction.sign(),
        key.emitted_at_us,
        key.horizon_us,
        forecast.interval.0,
        forecast.interval.1,
        forecast.level.as_str(),
        forecast.lift(),
        MEANING,
        key.price,
        forecast.probability(),
        revision,
        strategy,
        key.threshold,
    )
}
