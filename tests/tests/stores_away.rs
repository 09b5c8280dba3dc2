//! A store that is away, or that answers and does not work: nothing grows without bound, and everybody is told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use assay_tests::kafka::NewRecord;
use assay_tests::pipeline::{Endpoints, Options, Pipeline};
use assay_tests::processor::Processor;
use assay_tests::proxy::{Protocol, Proxy};
use assay_tests::trades::{RecordedTrade, slow_hour};
use assay_tests::{Kafka, Postgres, Redis, wait};

const PARTITIONS: i32 = 2;
const MIB: usize = 1024 * 1024;
/// Each of one MiB, in each partition: far more than a worker takes while a flush waits.
const LARGE_RECORDS: i64 = 100;
/// What a worker takes while a flush waits (32 MiB), what its queue holds (4 MiB), and the records of the flush itself.
const MOST_TAKEN: i64 = 50;
const NOTICE_LIMIT: Duration = Duration::from_secs(30);

/// A trade of one MiB for a partition: a field that nobody knows is ignored.
fn large_trade(partition: i32, number: i64) -> NewRecord {
    let trade = RecordedTrade {
        symbol: format!("LARGE{partition}"),
        trade_id: number.unsigned_abs(),
        event_time_us: 1_723_078_800_000_000 + number * 10_000,
        price: "100".to_owned(),
        quantity: "1".to_owned(),
        side: "buy".to_owned(),
    };
    let NewRecord { key, mut value, .. } = trade.record();
    value.truncate(value.len() - 1);
    value.extend_from_slice(format!(r#","padding":"{}"}}"#, "x".repeat(MIB)).as_bytes());
    NewRecord {
        key,
        value,
        partition: Some(partition),
        ..NewRecord::default()
    }
}

fn positions(processor: &Processor) -> Result<Vec<i64>> {
    let status = processor.status()?;
    let partitions = status["partitions"].as_array().into_iter().flatten();
    Ok(partitions.filter_map(|one| one["position"].as_i64()).collect())
}

fn reasons(processor: &Processor) -> Result<String> {
    Ok(processor.status()?["reasons"].to_string())
}

/// The number before ` s` in "… is away for 5 s: …".
fn seconds_away(reasons: &str) -> Option<u64> {
    let (_, rest) = reasons.split_once("is away for ")?;
    rest.split_once(' ')?.0.parse().ok()
}

/// Waits until no worker has taken more than at the look before, one second ago.
fn wait_until_nothing_moves(processor: &Processor) -> Result<Vec<i64>> {
    let mut before = Vec::new();
    wait::until(NOTICE_LIMIT, "workers that take no more", || {
        let now = positions(processor)?;
        let stands = now.len() == before.len() && now.iter().all(|position| *position > 1) && now == before;
        before.clone_from(&now);
        if !stands {
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(stands.then_some(now))
    })
}

#[test]
fn an_outage_that_begins_on_a_quiet_log_bounds_what_every_worker_takes() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, PARTITIONS)?;
    let mut stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    stores.migrate()?;
    let proxy = Proxy::start(stores.postgres_port, Protocol::Postgres)?;
    stores.postgres_port = proxy.port();
    let options = Options {
        arguments: &["--workers", "2"],
        ..Options::default()
    };
    let mut processor = pipeline.start(&stores, &options)?;
    Kafka::shared()?.produce(
        pipeline.topic(),
        (0..PARTITIONS).map(|partition| large_trade(partition, 0)),
    )?;
    pipeline.wait_until_caught_up(&stores, || processor.process().ensure_running())?;

    proxy.refuse();
    wait::until(
        NOTICE_LIMIT,
        "a look after partitions at rest that met the outage",
        || {
            let metrics = processor.get("/metrics")?;
            Ok(metrics.contains(r#"errors_total{call="progress"}"#).then_some(()))
        },
    )?;
    let records =
        (1..LARGE_RECORDS).flat_map(|number| (0..PARTITIONS).map(move |partition| large_trade(partition, number)));
    Kafka::shared()?.produce(pipeline.topic(), records)?;
    let taken = wait_until_nothing_moves(&processor)?;
    ensure!(
        taken.iter().all(|position| *position <= MOST_TAKEN),
        "workers took records beyond their bound: {taken:?} of {LARGE_RECORDS}"
    );

    proxy.pass();
    pipeline.wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    pipeline.shut_down(processor)
}

#[test]
fn a_redis_that_answers_and_takes_no_writes_is_away_for_as_long_as_it_takes_none() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, PARTITIONS)?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    stores.migrate()?;
    let mut processor = pipeline.start(&stores, &Options::default())?;
    pipeline.wait_until_ready(&mut processor)?;
    let want_replicas = |number: u32| -> Result<()> {
        let mut connection = stores.redis.connection()?;
        let set = redis::cmd("CONFIG")
            .arg("SET")
            .arg("min-replicas-to-write")
            .arg(number)
            .query(&mut connection);
        Ok(set?)
    };
    want_replicas(1)?;
    let trades = slow_hour(1)?;
    Kafka::shared()?.produce(pipeline.topic(), trades.iter().map(RecordedTrade::record))?;
    // Every second the markers are read, and that works.
    wait::until(NOTICE_LIMIT, "an outage of five seconds", || {
        let told = reasons(&processor)?;
        let is_long = seconds_away(&told).is_some_and(|seconds| seconds >= 5);
        Ok((told.contains("NOREPLICAS") && is_long).then_some(()))
    })?;

    want_replicas(0)?;
    pipeline.wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    wait::until(NOTICE_LIMIT, "a processor that is well again", || {
        Ok((processor.status()?["health"] == "HEALTHY").then_some(()))
    })?;
    pipeline.shut_down(processor)
}
