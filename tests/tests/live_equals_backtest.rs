//! Recorded trades through a real Kafka, shared by processors that come and go, leave the rows and the projection that a
//! backtest of the same files makes without any server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use assay_crds::load_pipeline;
use assay_processor::settings::standalone_instance;
use assay_tests::pipeline::{Endpoints, Options, Pipeline};
use assay_tests::processor::binary;
use assay_tests::results::Results;
use assay_tests::scratch::Scratch;
use assay_tests::{Kafka, Postgres, Process, Redis};
use rstest::rstest;

const PARTITIONS: i32 = 6;
const FEED_LIMIT: Duration = Duration::from_mins(2);
/// In order of time: an hour, eleven minutes and three minutes, each a year after the one before.
const FILES: [&str; 3] = [
    "coinbase_btcusd_20230905_original.csv",
    "binance_spot_btc_eth_20240808.csv.gz",
    "binance_spot_btc_eth_sol_20250325.csv.gz",
];

#[rstest]
#[case::members_agree("Classic")]
#[case::brokers_assign("Consumer")]
fn three_processors_that_rebalance_leave_what_a_backtest_of_the_files_makes(#[case] protocol: &str) -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, PARTITIONS)?;
    pipeline.change_manifest(|manifest| manifest["spec"]["kafka"]["groupProtocol"] = protocol.into())?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    pipeline.register(&stores)?;
    run_live(&pipeline, &stores)?;
    let manifest = load_pipeline(&std::fs::read_to_string(pipeline.manifest())?)?;
    let instance = standalone_instance(&manifest, 1)?;
    let live = Results::of_stores(&manifest, &instance, &stores.database.url(), &stores.redis.url())?;
    let backtest = Results::of_backtest(&manifest, &instance, &FILES.map(fixture))?;
    live.ensure_equal(&backtest)
}

/// One processor, then three, then two of which one is new: partitions change hands while trades come in.
fn run_live(pipeline: &Pipeline<&'static Kafka>, stores: &Endpoints) -> Result<()> {
    let scratch = Scratch::new("feed")?;
    let first = pipeline.start(stores, &Options::default())?;
    let mut feed = feed(pipeline, FILES[0], "300", scratch.path())?;
    let second = pipeline.start(stores, &Options::default())?;
    let third = pipeline.start(stores, &Options::default())?;
    finish(&mut feed)?;
    let mut feed = self::feed(pipeline, FILES[1], "60", scratch.path())?;
    pipeline.shut_down(first)?;
    let mut fourth = pipeline.start(stores, &Options::default())?;
    pipeline.shut_down(second)?;
    finish(&mut feed)?;
    finish(&mut self::feed(pipeline, FILES[2], "full", scratch.path())?)?;
    pipeline.wait_until_caught_up(stores, || fourth.process().ensure_running())?;
    pipeline.shut_down(third)?;
    pipeline.shut_down(fourth)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trades").join(name)
}

fn feed(pipeline: &Pipeline<&'static Kafka>, file: &str, speed: &str, logs: &Path) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.arg("feed").arg(fixture(file)).args(["--speed", speed]);
    command.args(["--topic", pipeline.topic(), "--brokers", &Kafka::shared()?.bootstrap()]);
    Process::spawn("feed", command, &logs.join(format!("{file}.log")))
}

fn finish(feed: &mut Process) -> Result<()> {
    let status = feed.wait(FEED_LIMIT)?;
    ensure!(status.success(), "{}", feed.log_tail());
    Ok(())
}
