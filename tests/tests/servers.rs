//! The harness itself against the real servers: what later suites rely on.

use anyhow::Result;
use assay_tests::kafka::NewRecord;
use assay_tests::{Kafka, Postgres, Redis};

#[test]
fn a_killed_broker_comes_back_with_its_records() -> Result<()> {
    let kafka = Kafka::start()?;
    let topic = kafka.create_topic("kept", 2)?;
    let record = NewRecord {
        partition: Some(1),
        value: b"value".to_vec(),
        ..NewRecord::default()
    };
    kafka.produce(&topic, [record])?;
    kafka.restart()?;
    assert_eq!(kafka.log_ends(&topic, 2)?, [0, 1]);
    kafka.delete_topic(&topic)
}

#[test]
fn records_below_an_offset_can_expire_and_a_topic_can_grow() -> Result<()> {
    let kafka = Kafka::shared()?;
    let topic = kafka.create_topic("expiring", 1)?;
    kafka.produce(&topic, vec![NewRecord::default(); 5])?;
    kafka.delete_records_before(&topic, 0, 3)?;
    assert_eq!(kafka.watermarks(&topic, 0)?, (3, 5));
    kafka.grow_topic(&topic, 3)
}

#[test]
fn postgres_survives_an_immediate_stop_and_goes_back_in_time_by_its_copy() -> Result<()> {
    let postgres = Postgres::start()?;
    let database = postgres.create_database()?;
    database.execute("CREATE TABLE kept AS SELECT 1 AS value")?;
    postgres.keep_copy()?;
    database.execute("INSERT INTO kept VALUES (2)")?;
    postgres.stop_immediately()?;
    postgres.restart()?;
    assert_eq!(
        database.query("SELECT value, NULL FROM kept ORDER BY 1")?,
        [["1", ""], ["2", ""]]
    );
    postgres.stop_immediately()?;
    postgres.restore_copy()?;
    assert_eq!(database.query("SELECT value FROM kept")?, [["1"]]);
    Ok(())
}

#[test]
fn redis_restarts_from_an_old_dump_or_empty() -> Result<()> {
    let redis = Redis::start()?;
    let set = |key: &str| -> Result<()> {
        Ok(redis::cmd("HSET")
            .arg(key)
            .arg("field")
            .arg(1)
            .query(&mut redis.connection()?)?)
    };
    set("old")?;
    redis.save_dump()?;
    set("new")?;
    redis.restart()?;
    assert_eq!(redis.dump("*")?, "old field 1\n");
    redis.forget_dump()?;
    redis.restart()?;
    assert_eq!(redis.dump("*")?, "");
    Ok(())
}
