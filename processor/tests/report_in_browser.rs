//! The page in a real browser: Chromium loads it without an error, fetches nothing, and it fits phones and desks.
//!
//! `make install` installs Chromium.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use assay_processor::args::{Cli, Command};
use assay_processor::commands::backtest::backtest;
use clap::Parser as _;

/// A phone and a desk, pixels.
const WIDTHS: [u32; 2] = [400, 1_280];
/// Exit status by which `timeout` tells that there is no such command.
const COMMAND_NOT_FOUND: i32 = 127;

/// The page that `assay backtest` writes about an hour of recorded trades.
async fn write_page(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = |relative: &str| root.join(relative).display().to_string();
    let words = [
        "assay",
        "backtest",
        "--pipeline",
        &path("deploy/samples/demo.yaml"),
        "--trades",
        &path("tests/fixtures/trades/coinbase_btcusd_20230905_original.csv"),
        "--out",
        &folder.display().to_string(),
    ];
    let Command::Backtest(args) = Cli::try_parse_from(words).unwrap().command else {
        unreachable!("the words say backtest")
    };
    backtest(&args).await.unwrap();
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
    let output = std::process::Command::new("timeout")
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

#[tokio::test]
async fn the_page_loads_without_an_error_and_fits_phones_and_desks() {
    let folder = tempfile::tempdir().unwrap();
    write_page(folder.path()).await;
    std::fs::write(folder.path().join("probe.html"), probe()).unwrap();
    let (document, complaints) = load(folder.path(), "probe.html");
    assert_eq!(complaints, "");
    let found = document
        .split_once("data-probe=\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let expected = WIDTHS.map(|width| format!("{width}, too wide 0, charts 1, marks true, cut texts , fetched 0"));
    assert_eq!(found.map(|(probe, _)| probe), Some(expected.join("; ").as_str()));
}
