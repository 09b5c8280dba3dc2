//! The page in a real browser: Chromium loads it without an error, fetches nothing, and it fits phones and desks.
//!
//! `make install` installs Chromium.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use assay_engine::settings::{StrategySettings, VwapReversionSettings};
use assay_engine::{Effects, PartitionState, Position, Record, Settings, Side, Trade};
use assay_processor::report::{Recorder, WholeInput, render};

const SECOND_US: i64 = 1_000_000;
const START_US: i64 = 1_723_161_600 * SECOND_US;
/// Two hours: enough outcomes for every chart.
const SECONDS: i64 = 7_200;
/// A phone and a desk, pixels.
const WIDTHS: [u32; 2] = [400, 1_280];
/// Exit status by which `timeout` tells that there is no such command.
const COMMAND_NOT_FOUND: i32 = 127;

fn settings() -> Arc<Settings> {
    let reversion = StrategySettings::VwapReversion(VwapReversionSettings {
        entry_z: 1.0,
        exit_z: 0.5,
        max_z: 3.0,
        min_trades: 20,
        min_deviation_ticks: 2.0,
    });
    Arc::new(Settings {
        revision: "browser".to_owned(),
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

/// A trade a second at a price that swings around 61,000.
fn trade(second: i64) -> Trade<'static> {
    let swing = [0, 3, 5, 6, 5, 3, 0, -3, -5, -6, -5, -3];
    let step = usize::try_from(second / 9 % 12).unwrap();
    Trade {
        venue: "test",
        symbol: "BTCUSDT",
        trade_id: second.unsigned_abs() + 1,
        price: (61_000 + 10 * swing[step] + second % 4) * 100_000_000,
        quantity: 100_000_000 + second % 7 * 10_000_000,
        side: if second % 3 == 0 { Side::Sell } else { Side::Buy },
        event_time_us: START_US + second * SECOND_US,
        received_time_us: START_US + second * SECOND_US,
    }
}

fn page() -> String {
    let mut state = PartitionState::new(settings());
    let mut recorder = Recorder::new(settings());
    for second in 0..SECONDS {
        let (trade, mut effects) = (trade(second), Effects::default());
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
    let records = BTreeMap::from([("accepted", state.counters().accepted)]);
    let whole = BTreeMap::from([(
        "BTCUSDT".to_owned(),
        WholeInput {
            trades: 7_200,
            ..WholeInput::default()
        },
    )]);
    render(&recorder.report("two hours of a swinging price", &records, &whole))
}

/// Loads the page in a frame of each width and writes down what the browser made of it. A vertical scrollbar narrows
/// what is inside; nothing may stand out of that to the side, and no text out of its picture.
fn probe() -> String {
    let frames = WIDTHS.map(|width| {
        format!(
            r#"<iframe src="report.html" style="width:{width}px;height:3000px;border:0" data-width="{width}"></iframe>"#
        )
    });
    format!(
        r#"<!doctype html><body>{}<script>
const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
  && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
const look = frame => {{
  const page = frame.contentDocument, root = page.documentElement;
  const shown = element => element.getBoundingClientRect().width > 0;
  const charts = [...page.querySelectorAll("svg.chart")].filter(shown);
  const cut = [...page.querySelectorAll("svg text")].filter(shown)
    .filter(text => !inside(text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()));
  return [frame.dataset.width, "too wide " + (root.scrollWidth - root.clientWidth), "charts " + charts.length,
    "marks " + (charts[0].querySelectorAll(".mark").length > 10), "cut texts " + cut.map(text => text.textContent),
    "fetched " + frame.contentWindow.performance.getEntriesByType("resource").length].join(", ");
}};
window.onload = () => document.body.dataset.probe = [...document.querySelectorAll("iframe")].map(look).join("; ");
</script></body>"#,
        frames.concat()
    )
}

/// The document as Chromium leaves it, and what it complained about.
fn load(folder: &Path, file: &str) -> (String, String) {
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-background-networking", "--allow-file-access-from-files"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", folder.join(file).display()))
        .output()
        .expect("coreutils are there");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let missing = output.status.code() == Some(COMMAND_NOT_FOUND);
    assert!(!missing, "chromium is not installed; run: make install");
    assert!(output.status.success(), "chromium failed: {complaints}");
    let of_page: Vec<_> = complaints.lines().filter(|line| line.contains(":CONSOLE")).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), of_page.join("\n"))
}

#[test]
fn the_page_loads_without_an_error_and_fits_phones_and_desks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("report.html"), page()).unwrap();
    std::fs::write(folder.path().join("probe.html"), probe()).unwrap();
    let (document, complaints) = load(folder.path(), "probe.html");
    assert_eq!(complaints, "");
    let found = document
        .split_once("data-probe=\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let expected = WIDTHS.map(|width| format!("{width}, too wide 0, charts 1, marks true, cut texts , fetched 0"));
    assert_eq!(found.map(|(probe, _)| probe), Some(expected.join("; ").as_str()));
}
