//! A processor whose manifest, Kafka, Postgres or Redis is not as it must be: it says what to do, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use assay_tests::kafka::NewRecord;
use assay_tests::pipeline::{Endpoints, Options, Pipeline};
use assay_tests::ports::Port;
use assay_tests::processor::Processor;
use assay_tests::{Kafka, Postgres, Redis, trades, wait};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
/// What is away may stay away for one second.
const IMPATIENT: Options<'_> = Options {
    group_prefix: None,
    crash: "",
    arguments: &["--patience", "1"],
};

fn stores() -> Result<Endpoints> {
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    stores.migrate()?;
    Ok(stores)
}

/// The exit code and the last words of a processor that does not start.
fn refusal(pipeline: &Pipeline<&Kafka>, stores: &Endpoints) -> Result<(i32, String)> {
    let (code, _, words) = refusal_and_log(pipeline, stores)?;
    Ok((code, words))
}

/// The exit code, the log, and the last words behind it.
fn refusal_and_log(pipeline: &Pipeline<&Kafka>, stores: &Endpoints) -> Result<(i32, String, String)> {
    let mut processor = pipeline.start(stores, &IMPATIENT)?;
    let status = processor.process().wait(LIMIT)?;
    let log = format!("\n{}", processor.process().log()?);
    let (log, words) = log.rsplit_once("\nerror: ").context("no error was told")?;
    let code = status.code().context("ended by a signal")?;
    Ok((code, log.to_owned(), words.trim().to_owned()))
}

/// Asserts an exit code and that the last words hold every part: what is wrong, and what to do.
#[track_caller]
fn assert_refused((code, words): &(i32, String), wanted: i32, parts: &[&str]) {
    assert_eq!(*code, wanted, "{words}");
    for part in parts {
        assert!(words.contains(part), "{part:?} is missing in: {words}");
    }
}

#[test]
fn a_wrong_manifest_tells_every_mistake_at_once() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    pipeline.change_manifest(|manifest| {
        manifest["spec"]["settings"]["latenes"] = "1s".into();
        manifest["spec"]["source"]["partitions"] = 0.into();
    })?;
    assert_refused(
        &refusal(&pipeline, &stores()?)?,
        2,
        &["latenes", "lateness", "spec.source.partitions"],
    );
    Ok(())
}

#[test]
fn an_unreachable_kafka_is_named_with_its_address() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    let nobody = format!("127.0.0.1:{}", Port::reserve()?.number());
    pipeline.change_manifest(|manifest| manifest["spec"]["kafka"]["bootstrapServers"] = nobody.clone().into())?;
    let (code, log, words) = refusal_and_log(&pipeline, &stores()?)?;
    assert_refused(&(code, words), 10, &[&nobody, "check spec.kafka.bootstrapServers"]);
    ensure_flat_and_silent_about_the_build(&log)
}

/// The client's lines look as ours do, and a path of the machine that built the program is nobody's business.
fn ensure_flat_and_silent_about_the_build(log: &str) -> Result<()> {
    let lines: Vec<Value> = log.trim().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let flat = |line: &Value| line["message"].is_string();
    ensure!(lines.iter().all(flat), "a line without a message of its own: {log}");
    ensure!(
        lines.iter().any(|line| line["target"] == "librdkafka"),
        "the client said nothing: {log}"
    );
    ensure!(!log.contains(".rs\""), "a line names a file of the sources: {log}");
    Ok(())
}

#[test]
fn an_unreachable_postgres_is_named() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    let nobody = Port::reserve()?;
    let stores = Endpoints {
        postgres_port: nobody.number(),
        ..stores()?
    };
    assert_refused(
        &refusal(&pipeline, &stores)?,
        20,
        &["result store cannot be reached", "check results.postgres"],
    );
    Ok(())
}

#[test]
fn an_unreachable_redis_is_named() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    let nobody = Port::reserve()?;
    let stores = Endpoints {
        redis_port: nobody.number(),
        ..stores()?
    };
    assert_refused(
        &refusal(&pipeline, &stores)?,
        30,
        &["latest-state store cannot be reached", "check results.redis"],
    );
    Ok(())
}

#[test]
fn a_redis_that_evicts_is_refused() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    let stores = stores()?;
    let mut connection = stores.redis.connection()?;
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory-policy")
        .arg("allkeys-lru")
        .query::<()>(&mut connection)?;
    assert_refused(
        &refusal(&pipeline, &stores)?,
        31,
        &["allkeys-lru", "set it to noeviction"],
    );
    Ok(())
}

#[test]
fn a_database_without_the_schema_names_the_command() -> Result<()> {
    let pipeline = Pipeline::create(Kafka::shared()?, 1)?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    assert_refused(&refusal(&pipeline, &stores)?, 21, &["run `assay migrate`"]);
    Ok(())
}

#[test]
fn a_missing_topic_is_never_created() -> Result<()> {
    let kafka = Kafka::shared()?;
    let pipeline = Pipeline::create(kafka, 1)?;
    kafka.delete_topic(pipeline.topic())?;
    assert_refused(
        &refusal(&pipeline, &stores()?)?,
        11,
        &[pipeline.topic(), "does not exist", "create it"],
    );
    Ok(())
}

#[test]
fn another_partition_count_is_refused_with_both_numbers() -> Result<()> {
    let kafka = Kafka::shared()?;
    let pipeline = Pipeline::create(kafka, 2)?;
    kafka.grow_topic(pipeline.topic(), 3)?;
    assert_refused(
        &refusal(&pipeline, &stores()?)?,
        13,
        &["has 3 partitions", "says 2", "correct the manifest"],
    );
    Ok(())
}

/// Waits until a partition has stopped, and gives its reason and message.
fn stopped(processor: &mut Processor, partition: i64) -> Result<(String, String)> {
    wait::until(LIMIT, "the stop of a partition", || {
        processor.process().ensure_running()?;
        Ok(stop_of(&processor.status().unwrap_or_default(), partition))
    })
}

/// Reason and message of a partition's stop.
fn stop_of(status: &Value, partition: i64) -> Option<(String, String)> {
    let text = |stop: &Value, field: &str| stop[field].as_str().unwrap_or_default().to_owned();
    let mut stopped = status["stopped"].as_array()?.iter();
    let found = stopped.find(|stop| stop["partition"] == partition)?;
    Some((text(found, "reason"), text(found, "message")))
}

/// A pipeline of two partitions that has read a first third of the log.
fn pipeline_with_progress(kafka: &'static Kafka, stores: &Endpoints) -> Result<Pipeline<&'static Kafka>> {
    let pipeline = Pipeline::create(kafka, 2)?;
    produce_third(kafka, pipeline.topic(), 0)?;
    pipeline.run_undisturbed(stores)?;
    Ok(pipeline)
}

fn produce_third(kafka: &Kafka, topic: &str, number: usize) -> Result<()> {
    let trades = trades::slow_hour(4)?;
    let third = trades.len() / 3;
    kafka.produce(
        topic,
        trades[number * third..(number + 1) * third]
            .iter()
            .map(trades::RecordedTrade::record),
    )
}

#[test]
fn retention_past_the_progress_stops_that_partition_and_a_new_instance_recovers() -> Result<()> {
    let (kafka, stores) = (Kafka::shared()?, stores()?);
    let pipeline = pipeline_with_progress(kafka, &stores)?;
    produce_third(kafka, pipeline.topic(), 1)?;
    let ends = kafka.log_ends(pipeline.topic(), 2)?;
    kafka.delete_records_before(pipeline.topic(), 0, ends[0] - 1)?;
    let mut processor = pipeline.start(&stores, &Options::default())?;
    let (reason, message) = stopped(&mut processor, 0)?;
    assert_eq!(reason, "retention_passed");
    assert!(message.contains("raise retention.ms"), "{message}");
    let healthy = "SELECT next_offset FROM assay.progress WHERE \"partition\" = 1";
    wait::until(LIMIT, "the other partition's progress", || {
        Ok((stores.database.query(healthy)?[0][0] == ends[1].to_string()).then_some(()))
    })?;
    pipeline.shut_down(processor)?;
    ensure_recovery_by_new_instance(&pipeline, &stores)
}

#[test]
fn a_symbol_in_two_partitions_stops_one_and_says_how_to_key_records() -> Result<()> {
    let (kafka, stores) = (Kafka::shared()?, stores()?);
    let pipeline = Pipeline::create(kafka, 2)?;
    let trades = trades::slow_hour(1)?;
    for partition in [0, 1] {
        let astray = |trade: &trades::RecordedTrade| NewRecord {
            partition: Some(partition),
            ..trade.record()
        };
        kafka.produce(pipeline.topic(), trades.iter().map(astray))?;
    }
    let mut processor = pipeline.start(&stores, &Options::default())?;
    let (reason, message) = wait::until(LIMIT, "the stop of either partition", || {
        processor.process().ensure_running()?;
        let status = processor.status().unwrap_or_default();
        Ok([0, 1].into_iter().find_map(|partition| stop_of(&status, partition)))
    })?;
    assert_eq!(reason, "row_exists");
    assert!(message.contains("key every record by its symbol"), "{message}");
    let written = stores
        .database
        .query("SELECT DISTINCT \"partition\" FROM assay.forecasts")?;
    assert_eq!(written.len(), 1, "each forecast is written once");
    pipeline.shut_down(processor)
}

#[test]
fn a_topic_created_anew_is_noticed_and_a_new_instance_recovers() -> Result<()> {
    let (kafka, stores) = (Kafka::shared()?, stores()?);
    let pipeline = pipeline_with_progress(kafka, &stores)?;
    let rows = stores.database.query("SELECT count(*) FROM assay.forecasts")?;
    kafka.delete_topic(pipeline.topic())?;
    kafka.create_topic_with(pipeline.topic(), 2, &[])?;
    produce_third(kafka, pipeline.topic(), 1)?;
    produce_third(kafka, pipeline.topic(), 2)?;
    assert_refused(
        &refusal(&pipeline, &stores)?,
        15,
        &[pipeline.topic(), "created anew", "--instance"],
    );
    assert_eq!(
        stores.database.query("SELECT count(*) FROM assay.forecasts")?,
        rows,
        "rows of the old log are kept"
    );
    ensure_recovery_by_new_instance(&pipeline, &stores)
}

/// A new instance of the same settings starts at what the log still holds and arrives at its end.
fn ensure_recovery_by_new_instance(pipeline: &Pipeline<&'static Kafka>, stores: &Endpoints) -> Result<()> {
    let options = Options {
        arguments: &["--instance", "2"],
        ..Options::default()
    };
    let mut processor = pipeline.start(stores, &options)?;
    let ends = Kafka::shared()?.log_ends(pipeline.topic(), 2)?;
    let progress = "SELECT next_offset FROM assay.progress WHERE revision LIKE '%-2' ORDER BY \"partition\"";
    wait::until(LIMIT, "the new instance at the log's end", || {
        processor.process().ensure_running()?;
        let found = stores.database.query(progress)?;
        Ok(found
            .iter()
            .map(|row| row[0].clone())
            .eq(ends.iter().map(i64::to_string))
            .then_some(()))
    })?;
    pipeline.shut_down(processor)
}
