//! `assay demo` as a newcomer runs it, to its end.

use anyhow::{Result, ensure};
use assay_tests::processor::run_to_end;
use assay_tests::scratch::Scratch;

/// A line of the last table: strategy, symbol, hits, misses, voids, hit rate, skill, forecasts at HIGH.
fn figures<'a>(output: &'a str, strategy: &str, symbol: &str) -> Option<Vec<&'a str>> {
    let lines = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .into_iter()
        .find(|words| words.first() == Some(&strategy) && words.get(1) == Some(&symbol))
}

#[test]
fn the_demo_ends_well_and_finds_skill_only_where_there_is_some() -> Result<()> {
    let folder = Scratch::new("demo")?;
    let out = folder.path().to_string_lossy().into_owned();
    let output = run_to_end(&["demo", "--out", &out])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = |symbol| figures(&text, "pooled", symbol).and_then(|words| words.last().copied());
    ensure!(
        figures(&text, "pooled", "BTC-USD").is_some(),
        "no forecast of the recorded hour:\n{text}"
    );
    ensure!(last("WALK") == Some("0"), "a random walk was called HIGH:\n{text}");
    ensure!(
        last("REVERSION").is_some_and(|high| high != "0"),
        "the reversion was never called HIGH:\n{text}"
    );
    Ok(())
}
