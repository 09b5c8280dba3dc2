//! What the product costs inside of a cluster, and how soon a pipeline forecasts: `make bench-cluster`.
//!
//! The cluster of `make cluster-demo`: one node that runs pods under containerd, two operators, the sample pipeline with two processors.
//! First the images, then memory before and after recorded trades, then how long a new pipeline takes from `kubectl apply` to its first
//! forecast while its topic holds those trades. Needs root and a machine without another Kubernetes.

// The tests' own cluster, so that what is measured is what is tested; not all of it is needed here.
#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/cluster/cluster.rs"]
mod cluster;

mod pods;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use assay_tests::measure::{Spread, machine};
use assay_tests::processor::binary;
use assay_tests::wait;
use clap::Parser;

use crate::cluster::Cluster;
use crate::pods::Memory;

/// Processors of the sample pipeline.
const PROCESSORS: u64 = 2;
const LIMIT: Duration = Duration::from_mins(3);
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/demo.yaml");
/// An hour of BTC-USD, which is long enough for forecasts, and eleven minutes of two other symbols.
const TRADES: [&str; 2] = [
    "coinbase_btcusd_20230905_original.csv",
    "binance_spot_btc_eth_20240808.csv.gz",
];

/// Measures the programs in the folder of the one that `ASSAY_BIN` names.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often a pipeline is applied anew.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    let cluster = Cluster::install()?;
    cluster.wait_until_settled(PROCESSORS)?;
    let at_rest = Memory::of_processors(&cluster)?;
    let trades = feed(&cluster)?;
    let fed = Memory::of_processors(&cluster)?;
    let operators = Memory::of_operators(&cluster)?;
    let seconds = first_forecasts(&cluster, arguments.rounds)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}\n\n| | |\n|---|---|", machine()?)?;
    writeln!(
        out,
        "| images as containerd counts them, MiB | {} |",
        pods::image_sizes(&cluster)?
    )?;
    writeln!(out, "| the processors at rest, resident (peak) MiB | {at_rest} |")?;
    writeln!(
        out,
        "| the processors after {trades} recorded trades, resident (peak) MiB | {fed} |"
    )?;
    writeln!(out, "| the operators, resident (peak) MiB | {operators} |")?;
    writeln!(
        out,
        "| `kubectl apply` until the first forecast row, with those trades waiting in the topic; {} rounds, s | {seconds:.1} |",
        arguments.rounds
    )?;
    Ok(())
}

/// Feeds the recorded trades and waits for their commit; gives how many there were.
fn feed(cluster: &Cluster) -> Result<u64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trades");
    let files = TRADES.map(|name| folder.join(name));
    let brokers = cluster.variable("ASSAY_BROKERS")?;
    let mut feed = Command::new(binary()?);
    feed.arg("feed").args::<_, &PathBuf>(&files);
    let output = feed.args(["--topic", "raw.trades", "--brokers", brokers]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let noticed = String::from_utf8(output.stderr)?;
    let trades: u64 = noticed
        .lines()
        .find_map(|line| line.split_once(" trades, ")?.0.parse().ok())
        .with_context(|| format!("feed does not count its trades: {noticed}"))?;
    wait::until(LIMIT, &format!("the commit of {trades} trades"), || {
        let committed = cluster.sql("SELECT sum(next_offset - start_offset) FROM assay.progress")?;
        Ok((committed.parse::<u64>()? >= trades).then_some(trades))
    })
}

/// Seconds from `kubectl apply` of a new pipeline to its first row.
fn first_forecasts(cluster: &Cluster, rounds: usize) -> Result<Spread> {
    (1..=rounds)
        .map(|round| {
            cluster.kubectl(&["delete", "strategypipeline", "demo", "--wait", "--timeout=3m"])?;
            let before = forecasts(cluster)?;
            let began = Instant::now();
            cluster.kubectl(&["apply", "--filename", SAMPLE])?;
            wait::until(LIMIT, "a forecast", || Ok((forecasts(cluster)? > before).then_some(())))?;
            let seconds = began.elapsed().as_secs_f64();
            eprintln!("round {round} of {rounds}: {seconds:.1} s");
            Ok(seconds)
        })
        .collect()
}

fn forecasts(cluster: &Cluster) -> Result<u64> {
    let rows = cluster.sql("SELECT count(*) FROM assay.forecasts")?;
    rows.parse().context("a count of forecasts")
}
