//! Stores that go back in time while a processor runs: rows come again as they were, the projection heals by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use assay_tests::pipeline::{Endpoints, Options, Pipeline, dump, ensure_equal};
use assay_tests::trades::{RecordedTrade, slow_hour};
use assay_tests::{Kafka, Postgres, Redis, wait};

const PARTITIONS: i32 = 3;
const LIMIT: Duration = Duration::from_mins(1);

/// A log in two halves, and the undisturbed run's stores.
struct Log {
    pipeline: Pipeline<&'static Kafka>,
    oracle: Endpoints,
    trades: Vec<RecordedTrade>,
}

impl Log {
    fn new() -> Result<Self> {
        let pipeline = Pipeline::create(Kafka::shared()?, PARTITIONS)?;
        let oracle = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
        pipeline.register(&oracle)?;
        Ok(Self {
            pipeline,
            oracle,
            trades: slow_hour(3)?,
        })
    }

    fn produce(&self, half: usize) -> Result<()> {
        let (first, second) = self.trades.split_at(self.trades.len() / 2);
        let records = [first, second][half].iter().map(RecordedTrade::record);
        Kafka::shared()?.produce(self.pipeline.topic(), records)
    }

    fn ensure_same_as_undisturbed(&self, stores: &Endpoints) -> Result<()> {
        self.pipeline.run_undisturbed(&self.oracle)?;
        ensure_equal(&dump(stores)?, &dump(&self.oracle)?)
    }
}

#[test]
fn commits_that_a_failover_lost_are_made_again() -> Result<()> {
    let log = Log::new()?;
    let postgres = Postgres::start()?;
    let stores = Endpoints::direct(postgres.create_database()?, Arc::new(Redis::start()?));
    log.pipeline.register(&stores)?;
    let mut processor = log.pipeline.start(&stores, &Options::default())?;
    log.produce(0)?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    postgres.keep_copy()?;
    log.produce(1)?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    postgres.stop_immediately()?;
    postgres.restore_copy()?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    assert!(
        processor.total("restarts") > 0,
        "no partition noticed that commits were lost"
    );
    log.pipeline.shut_down(processor)?;
    log.ensure_same_as_undisturbed(&stores)
}

#[test]
fn a_projection_from_an_old_dump_heals_even_at_rest() -> Result<()> {
    let log = Log::new()?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    log.pipeline.register(&stores)?;
    let mut processor = log.pipeline.start(&stores, &Options::default())?;
    log.produce(0)?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    stores.redis.save_dump()?;
    log.produce(1)?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    let whole = stores.redis.dump("*")?;
    stores.redis.restart()?;
    wait::until(LIMIT, "the projection to heal", || {
        processor.process().ensure_running()?;
        Ok((stores.redis.dump("*")? == whole).then_some(()))
    })?;
    log.pipeline.shut_down(processor)?;
    log.ensure_same_as_undisturbed(&stores)
}

#[test]
fn an_emptied_projection_heals_within_seconds_at_rest() -> Result<()> {
    let log = Log::new()?;
    let stores = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
    log.pipeline.register(&stores)?;
    let mut processor = log.pipeline.start(&stores, &Options::default())?;
    log.produce(0)?;
    log.pipeline
        .wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    let whole = stores.redis.dump("*")?;
    stores.redis.flush()?;
    wait::until(Duration::from_secs(10), "the projection to heal", || {
        processor.process().ensure_running()?;
        Ok((stores.redis.dump("*")? == whole).then_some(()))
    })?;
    log.pipeline.shut_down(processor)
}
