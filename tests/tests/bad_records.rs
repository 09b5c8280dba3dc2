//! Records that must not count: each becomes a dead letter with its reason, and the trades around it still count.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use assay_tests::kafka::NewRecord;
use assay_tests::pipeline::{Endpoints, Options, Pipeline};
use assay_tests::{Kafka, Postgres, Redis, wait};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);
const NOON_US: i64 = 1_723_118_400_000_000;

/// What the pipeline made of a log of one partition.
struct Verdict {
    /// Offset, reason, length of the value, length of the kept part.
    dead_letters: Vec<(i64, String, usize, usize)>,
    counters: Value,
    watermark_us: i64,
}

/// A good trade of second `number` with a change made to it.
fn trade(number: i64, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let time_us = NOON_US + number * 1_000_000;
    let mut value = json!({
        "v": 1, "venue": "binance", "symbol": "BTCUSDT", "trade_id": number + 1, "price": "61671.55", "quantity": "0.0012",
        "side": "buy", "event_time_us": time_us, "received_time_us": time_us,
    });
    change(&mut value);
    value.to_string().into_bytes()
}

fn good(number: i64) -> Vec<u8> {
    trade(number, |_| ())
}

/// Puts a good trade before and after `values`, runs them, and gives what became of them.
fn judge(values: impl IntoIterator<Item = Vec<u8>>) -> Result<Verdict> {
    let kafka = Kafka::shared()?;
    let pipeline = Pipeline::create(kafka, 1)?;
    let records = std::iter::once(good(0)).chain(values).chain([good(1)]);
    let record = |value| NewRecord {
        key: b"BTCUSDT".to_vec(),
        value,
        ..NewRecord::default()
    };
    kafka.produce(pipeline.topic(), records.map(record))?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    stores.migrate()?;
    pipeline.run_undisturbed(&stores)?;
    read_verdict(&stores)
}

fn read_verdict(stores: &Endpoints) -> Result<Verdict> {
    let rows = stores.database.query(
        "SELECT record_offset, reason, value_length, length(value) FROM assay.dead_letters ORDER BY record_offset",
    )?;
    let letter = |row: &Vec<String>| Ok((row[0].parse()?, row[1].clone(), row[2].parse()?, row[3].parse()?));
    let progress = stores
        .database
        .query("SELECT counters, watermark_us FROM assay.progress")?;
    let progress = progress.first().context("no progress")?;
    Ok(Verdict {
        dead_letters: rows.iter().map(letter).collect::<Result<_>>()?,
        counters: serde_json::from_str(&progress[0])?,
        watermark_us: progress[1].parse()?,
    })
}

impl Verdict {
    fn reasons(&self) -> Vec<&str> {
        self.dead_letters
            .iter()
            .map(|(_, reason, ..)| reason.as_str())
            .collect()
    }

    fn accepted(&self) -> &Value {
        &self.counters["accepted"]
    }
}

#[test]
fn dead_letters_are_mirrored_to_their_topic_where_one_is_named() -> Result<()> {
    let kafka = Kafka::shared()?;
    let pipeline = Pipeline::create(kafka, 1)?;
    let dead = kafka.create_topic("dead", 1)?;
    pipeline.change_manifest(|manifest| manifest["spec"]["deadLetters"] = json!({"topic": dead}))?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    pipeline.register(&stores)?;
    let record = |value: &[u8]| NewRecord {
        key: b"BTCUSDT".to_vec(),
        value: value.to_vec(),
        ..NewRecord::default()
    };
    kafka.produce(pipeline.topic(), [record(b"garbage"), record(&good(0)), record(b"{}")])?;
    let mut processor = pipeline.start(&stores, &Options::default())?;
    let cursor = "SELECT next_offset FROM assay.dead_letter_cursors";
    wait::until(LIMIT, "the cursor behind the last dead letter", || {
        processor.process().ensure_running()?;
        Ok((stores.database.query(cursor)? == [["3"]]).then_some(()))
    })?;
    pipeline.shut_down(processor)?;
    let expected = [(0, "garbage"), (2, "{}")];
    let expected = expected.map(|(offset, value)| (format!("{}/0/{offset}", pipeline.topic()), value.to_owned()));
    assert_eq!(kafka.read_all(&dead, 0)?, expected);
    Ok(())
}

#[test]
fn undecodable_bytes_are_kept_as_they_came() -> Result<()> {
    let verdict = judge([b"\xff\xfe\x00not json".to_vec(), b"{\"v\":1".to_vec(), Vec::new()])?;
    assert_eq!(verdict.reasons(), ["undecodable"; 3]);
    assert_eq!(verdict.dead_letters[0], (1, "undecodable".to_owned(), 11, 11));
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn an_unknown_version_is_not_guessed_at() -> Result<()> {
    let verdict = judge([trade(0, |value| value["v"] = json!(2))])?;
    assert_eq!(verdict.reasons(), ["unknown_version"]);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn prices_and_quantities_at_or_below_zero_do_not_count() -> Result<()> {
    let values = [
        ("price", "-1"),
        ("price", "0"),
        ("quantity", "-0.5"),
        ("quantity", "0.00"),
    ];
    let verdict = judge(values.map(|(field, text)| trade(0, |value| value[field] = json!(text))))?;
    assert_eq!(verdict.reasons(), ["not_positive"; 4]);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn numbers_that_fixed_point_cannot_hold_do_not_count() -> Result<()> {
    let texts = ["99999999999999999999", "1e400", "0.000000001"];
    let verdict = judge(texts.map(|text| trade(0, |value| value["price"] = json!(text))))?;
    assert_eq!(verdict.reasons(), ["not_representable"; 3]);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn exponents_are_numbers_like_others() -> Result<()> {
    let small = trade(0, |value| {
        (value["trade_id"], value["quantity"]) = (json!(100), json!("3.844E-5"));
    });
    let large = trade(0, |value| {
        (value["trade_id"], value["price"]) = (json!(101), json!("6.167155e4"));
    });
    let verdict = judge([small, large])?;
    assert_eq!(verdict.reasons(), [""; 0]);
    assert_eq!(verdict.accepted(), 4);
    Ok(())
}

#[test]
fn a_trade_of_a_closed_second_is_late_and_no_dead_letter() -> Result<()> {
    let verdict = judge([good(60), trade(10, |value| value["trade_id"] = json!(1000))])?;
    assert_eq!(verdict.reasons(), [""; 0]);
    // The good trade of second 1 that `judge` adds at the end is late too.
    assert_eq!((&verdict.counters["late"], verdict.accepted()), (&json!(2), &json!(2)));
    Ok(())
}

#[test]
fn a_time_in_the_future_does_not_move_the_watermark() -> Result<()> {
    let ahead = trade(0, |value| value["event_time_us"] = json!(NOON_US + 3_600_000_000_i64));
    let verdict = judge([ahead])?;
    assert_eq!(verdict.reasons(), ["future_event_time"]);
    // Lateness is one second, the last good trade one second after noon.
    assert_eq!(verdict.watermark_us, NOON_US);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn an_empty_or_foreign_symbol_does_not_count() -> Result<()> {
    let symbols = ["", "btcusdt", "BTC USDT", &"B".repeat(33)].map(str::to_owned);
    let verdict = judge(symbols.map(|symbol| trade(0, |value| value["symbol"] = json!(symbol))))?;
    assert_eq!(verdict.reasons(), ["invalid_symbol"; 4]);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}

#[test]
fn a_record_of_ten_mebibytes_is_kept_in_part() -> Result<()> {
    const LENGTH: usize = 10 * 1024 * 1024;
    let verdict = judge([vec![b'x'; LENGTH]])?;
    assert_eq!(verdict.dead_letters, [(1, "too_large".to_owned(), LENGTH, 64 * 1024)]);
    assert_eq!(verdict.accepted(), 2);
    Ok(())
}
