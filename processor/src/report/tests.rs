//! Behaviour of the whole page: what it shows of a run and what it leaves out.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::settings::{StrategySettings, VwapReversionSettings};
use assay_engine::{Effects, PartitionState, Position, Record, Settings, Side, Trade};

use super::*;

const SECOND_US: i64 = 1_000_000;
const START_US: i64 = 1_723_161_600 * SECOND_US;

fn settings() -> Arc<Settings> {
    let reversion = StrategySettings::VwapReversion(VwapReversionSettings {
        entry_z: 1.0,
        exit_z: 0.5,
        max_z: 3.0,
        min_trades: 20,
        min_deviation_ticks: 2.0,
    });
    Arc::new(Settings {
        revision: "r1".to_owned(),
        lateness_us: 2 * SECOND_US,
        dedupe_window_us: 600 * SECOND_US,
        vwap_window_s: 120,
        profile_window_s: 120,
        range_bar_s: 20,
        range_bars: 6,
        strategies: BTreeMap::from([("vwap-reversion".to_owned(), reversion)]),
        horizon_us: 30 * SECOND_US,
        volatility_multiple: 0.5,
        stale_after_us: 10 * SECOND_US,
        prior_strength: 30.0,
        decay_outcomes: 400.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    })
}

fn trade(second: i64, price: i64) -> Trade<'static> {
    Trade {
        venue: "test",
        symbol: "SYN",
        trade_id: second.unsigned_abs() + 1,
        price,
        quantity: 100_000_000 + second % 7 * 10_000_000,
        side: if second % 3 == 0 { Side::Sell } else { Side::Buy },
        event_time_us: START_US + second * SECOND_US,
        received_time_us: START_US + second * SECOND_US,
    }
}

/// A price that swings around 100 with a period of 97 seconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test price"
)]
fn swinging(second: i64) -> i64 {
    let phase = second as f64 * std::f64::consts::TAU / 97.0;
    10_000_000_000 + (phase.sin() * 50_000_000.0) as i64 / 1_000_000 * 1_000_000
}

fn run(seconds: i64) -> Report {
    let mut state = PartitionState::new(settings());
    let mut recorder = Recorder::new(settings());
    for second in 0..seconds {
        let mut effects = Effects::default();
        let trade = trade(second, swinging(second));
        state.step(
            &Record::Trade(trade),
            Position {
                offset: second,
                record_time_us: None,
            },
            &mut effects,
        );
        recorder.trade(&trade);
        recorder.views(&state.take_changed());
        recorder.rows(&effects.forecasts, &effects.outcomes);
    }
    let whole = WholeInput {
        trades: 1_234_567,
        vwap: "100.25".to_owned(),
        ..WholeInput::default()
    };
    let records = BTreeMap::from([
        ("accepted", state.counters().accepted),
        ("late", 3),
        ("future_event_time", 2),
    ]);
    recorder.report("a <run>", &records, &BTreeMap::from([("SYN".to_owned(), whole)]))
}

#[test]
fn a_run_shows_prices_calls_rates_and_outcomes() {
    let report = run(7_200);
    assert!(report.judged.len() >= ENOUGH, "{} judged", report.judged.len());
    let page = render(&report);
    for part in [
        "mark hit",
        "class=\"vwap\"",
        "band two",
        "bought inside",
        "class=\"control\"",
        "class=\"no-skill\"",
        "1,234,567",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(!page.contains("not enough data"));
    assert!(!page.contains("{{"), "a slot was left unfilled");
}

#[test]
fn outside_text_is_escaped_and_nothing_is_fetched() {
    let mut report = run(900);
    report.symbols[0].symbol = "SYN<1>".to_owned();
    let page = render(&report);
    assert!(page.contains("a &lt;run&gt;") && page.contains("SYN&lt;1&gt;"));
    for forbidden in ["SYN<1>", "<script", "http:", "https:", "url(", "@import", "NaN", "inf"] {
        assert!(!page.contains(forbidden), "{forbidden} stands in the page");
    }
}

#[test]
fn few_outcomes_are_not_enough_data() {
    let report = run(900);
    assert!(!report.judged.is_empty() && report.judged.len() < ENOUGH);
    let page = render(&report);
    assert!(page.contains("not enough data"));
    assert!(!page.contains("class=\"observed\""));
}

#[test]
fn an_empty_run_still_gives_a_page() {
    let report = Recorder::new(settings()).report("nothing", &BTreeMap::new(), &BTreeMap::new());
    let page = render(&report);
    assert!(page.contains("No forecast was made") && page.ends_with("</html>\n"));
}

#[test]
fn outside_text_that_looks_like_a_slot_stays_text() {
    let report = Recorder::new(settings()).report("{{symbols}}", &BTreeMap::new(), &BTreeMap::new());
    assert!(render(&report).contains("{{symbols}}"));
}

#[test]
fn memory_is_bounded_by_the_span_shown() {
    let report = run(5 * 3_600);
    let points = &report.symbols[0].points;
    let span = points.last().map_or(0, |point| point.time_us) - points[0].time_us;
    assert!(span <= recorder::SPAN_US && span > recorder::SPAN_US - 60 * SECOND_US);
    assert!(report.log.len() <= 100);
}

#[test]
fn a_fate_is_told_by_shape_and_not_by_colour_alone() {
    let sign = |fate| {
        let sign = log::sign(fate, true);
        (
            sign.contains("mark hit"),
            sign.split(" d=").nth(1).unwrap_or("circle").to_owned(),
        )
    };
    let shapes: std::collections::BTreeSet<_> = Fate::ALL.into_iter().map(sign).collect();
    assert_eq!(shapes.len(), 4);
    let style = include_str!("style.css");
    assert!(
        style.contains(".hit { color: var(--hit); fill: var(--hit); }"),
        "a hit is a full triangle"
    );
    assert!(
        style.contains(".miss { color: var(--miss); fill: var(--card); }"),
        "a miss is a hollow one"
    );
}

#[test]
fn data_quality_tells_dead_letters_by_reason() {
    let page = render(&run(60));
    assert!(page.contains("dead letter: future event time") && page.contains("late"));
}
