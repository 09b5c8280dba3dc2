//! The system under torture: a broker, Postgres and Redis behind proxies, and a handful of processors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use assay_tests::pipeline::{Endpoints, Options, Pipeline, dump, ensure_equal};
use assay_tests::processor::Processor;
use assay_tests::proxy::{Loss, Protocol, Proxy};
use assay_tests::{Kafka, Postgres, Redis, wait};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::faults::Fault;
use crate::feeder::Feeder;

const PARTITIONS: i32 = 6;
const PROCESSORS: usize = 3;
const MOST_PROCESSORS: usize = 5;
/// Beyond the session timeout of 6 s, so that a zombie has lost its partitions.
const ZOMBIE_LIMIT: Duration = Duration::from_secs(30);
const LOSS_LIMIT: Duration = Duration::from_secs(30);
/// Between two faults: from none at all to enough for several commits.
const LONGEST_PAUSE_MS: u64 = 1500;

/// What the processors counted, those that ended included.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    fenced: u64,
    ambiguous: u64,
    replayed: u64,
    restarts: u64,
    republished: u64,
    snapshots: u64,
}

impl Counts {
    fn of(processor: &Processor) -> Self {
        let Ok(status) = processor.status() else {
            return Self::default();
        };
        let total = |name: &str| status["totals"][name].as_u64().unwrap_or_default();
        Self {
            fenced: total("fenced"),
            ambiguous: total("ambiguous"),
            replayed: total("replayed"),
            restarts: total("restarts"),
            republished: total("republished"),
            snapshots: total("snapshots"),
        }
    }

    fn add(&mut self, other: Self) {
        self.fenced += other.fenced;
        self.ambiguous += other.ambiguous;
        self.replayed += other.replayed;
        self.restarts += other.restarts;
        self.republished += other.republished;
        self.snapshots += other.snapshots;
    }

    pub(crate) fn all_above_zero(&self) -> bool {
        self.fenced > 0 && self.ambiguous > 0 && self.replayed > 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fenced,
            ambiguous,
            replayed,
            restarts,
            republished,
            snapshots,
        } = self;
        write!(
            formatter,
            "fenced {fenced} ambiguous {ambiguous} replayed {replayed} restarts {restarts} republished {republished} snapshots {snapshots}"
        )
    }
}

/// How much was found equal.
pub(crate) struct Compared {
    pub(crate) records: i64,
    pub(crate) judged: u64,
}

/// Everything that runs.
pub(crate) struct System {
    // Processors end before the servers they use.
    processors: Vec<Processor>,
    feeder: Option<Feeder>,
    ended: Counts,
    random: StdRng,
    pipeline: Pipeline<Arc<Kafka>>,
    kafka: Arc<Kafka>,
    postgres: Postgres,
    stores: Endpoints,
    oracle: Endpoints,
    postgres_proxy: Proxy,
    redis_proxy: Proxy,
}

impl System {
    pub(crate) fn start(seed: u64) -> Result<Self> {
        let kafka = Arc::new(Kafka::start()?);
        let pipeline = Pipeline::create(Arc::clone(&kafka), PARTITIONS)?;
        let postgres = Postgres::start()?;
        let oracle = Endpoints::direct(Postgres::shared()?.create_database()?, Arc::new(Redis::start()?));
        pipeline.register(&oracle)?;
        let mut stores = Endpoints::direct(postgres.create_database()?, Arc::new(Redis::start()?));
        stores.migrate()?;
        let postgres_proxy = Proxy::start(stores.postgres_port, Protocol::Postgres)?;
        let redis_proxy = Proxy::start(stores.redis_port, Protocol::Bytes)?;
        (stores.postgres_port, stores.redis_port) = (postgres_proxy.port(), redis_proxy.port());
        let mut system = Self {
            processors: Vec::new(),
            feeder: None,
            ended: Counts::default(),
            random: StdRng::seed_from_u64(seed),
            pipeline,
            kafka,
            postgres,
            stores,
            oracle,
            postgres_proxy,
            redis_proxy,
        };
        system.begin()?;
        Ok(system)
    }

    /// The first processor registers the revision before the first record, as the oracle's did.
    fn begin(&mut self) -> Result<()> {
        self.join()?;
        self.pipeline.wait_until_ready(&mut self.processors[0])?;
        self.feeder = Some(Feeder::start(
            Arc::clone(&self.kafka),
            self.pipeline.topic().to_owned(),
        )?);
        while self.processors.len() < PROCESSORS {
            self.join()?;
        }
        self.stores.redis.save_dump()
    }

    /// Lets one fault happen at a random moment, and mends what no processor can mend by itself.
    pub(crate) fn suffer(&mut self, fault: Fault) -> Result<()> {
        self.pause();
        match fault {
            Fault::KillProcessor => self.kill_processor(),
            Fault::Zombie => self.make_zombie(),
            Fault::Pause => {
                self.pause_processor();
                Ok(())
            }
            Fault::Join => self.join(),
            Fault::Leave => self.leave(),
            Fault::KillBroker => self.kafka.restart(),
            Fault::StopPostgres => self.postgres.stop_immediately().and_then(|()| self.postgres.restart()),
            Fault::TerminateBackends => self.postgres.terminate_backends(&self.stores.database).map(drop),
            Fault::LoseCommitReply => self.lose(Loss::Reply),
            Fault::LoseCommit => self.lose(Loss::Request),
            Fault::SlowPostgres => {
                self.slow_postgres();
                Ok(())
            }
            Fault::KillRedis => self.stores.redis.forget_dump().and_then(|()| self.restart_redis()),
            Fault::FlushRedis => self.stores.redis.flush(),
            Fault::OldRedis => self.restart_redis(),
            Fault::SilentRedis => {
                self.silence_redis();
                Ok(())
            }
        }?;
        self.replace_ended()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.ended;
        self.processors
            .iter()
            .for_each(|processor| counts.add(Counts::of(processor)));
        counts
    }

    /// Ends the feed and all disturbance, and waits until everything is at the log's end.
    pub(crate) fn heal(&mut self) -> Result<()> {
        self.postgres_proxy.pass();
        self.redis_proxy.pass();
        self.feeder.take().context("the feed ended before")?.finish()?;
        let Self {
            pipeline,
            stores,
            processors,
            ..
        } = self;
        pipeline.wait_until_caught_up(stores, || {
            processors
                .iter_mut()
                .try_for_each(|each| each.process().ensure_running())
        })
    }

    /// Ends the processors in order, runs an undisturbed one over the same log, and compares; gives the log's length.
    pub(crate) fn compare_with_undisturbed_run(&mut self) -> Result<Compared> {
        for processor in self.processors.drain(..) {
            self.pipeline.shut_down(processor)?;
        }
        self.pipeline.run_undisturbed(&self.oracle)?;
        ensure_equal(&dump(&self.stores)?, &dump(&self.oracle)?)?;
        let judged = self
            .oracle
            .database
            .query("SELECT count(*) FROM assay.strategy_results")?;
        Ok(Compared {
            records: self.kafka.log_ends(self.pipeline.topic(), PARTITIONS)?.iter().sum(),
            judged: judged[0][0].parse()?,
        })
    }

    /// The moments at which faults strike are random, so time itself is the state that is awaited here.
    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..LONGEST_PAUSE_MS)));
    }

    fn join(&mut self) -> Result<()> {
        if self.processors.len() < MOST_PROCESSORS {
            self.processors
                .push(self.pipeline.start(&self.stores, &Options::default())?);
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        if self.processors.len() > 1 {
            let processor = self.take_any();
            self.pipeline.shut_down(processor)?;
        }
        Ok(())
    }

    fn kill_processor(&mut self) -> Result<()> {
        let mut processor = self.take_any();
        processor.process().kill();
        self.join()
    }

    /// The group gives the partitions of a frozen member to the others; then it wakes with records in its hands.
    fn make_zombie(&mut self) -> Result<()> {
        let count = self.processors.len();
        let first = self.random.random_range(0..count);
        let owns = |number: &usize| !owned_partitions(&self.processors[*number]).is_empty();
        let number = (first..first + count)
            .map(|number| number % count)
            .find(owns)
            .unwrap_or(first);
        let owned = owned_partitions(&self.processors[number]);
        if self.processors.len() == 1 {
            self.join()?;
        }
        self.processors[number].process().freeze();
        let others = || self.processors.iter().enumerate().filter(|(index, _)| *index != number);
        // A sleepy machine may take long; whoever woke too early was a paused processor, not a wrong one.
        let _ = wait::until(ZOMBIE_LIMIT, "the takeover", || {
            let taken: Vec<i64> = others().flat_map(|(_, other)| owned_partitions(other)).collect();
            Ok(owned.iter().all(|partition| taken.contains(partition)).then_some(()))
        });
        self.processors[number].process().thaw();
        Ok(())
    }

    fn pause_processor(&mut self) {
        let number = self.random.random_range(0..self.processors.len());
        self.processors[number].process().freeze();
        self.pause();
        self.processors[number].process().thaw();
    }

    fn lose(&mut self, loss: Loss) -> Result<()> {
        let before = self.postgres_proxy.lost();
        self.postgres_proxy.lose("UPDATE progress p", loss, 1);
        wait::until(LOSS_LIMIT, "a commit to lose", || {
            Ok((self.postgres_proxy.lost() > before).then_some(()))
        })
    }

    fn slow_postgres(&mut self) {
        self.postgres_proxy.delay(Duration::from_millis(100));
        self.pause();
        self.postgres_proxy.pass();
    }

    fn silence_redis(&mut self) {
        self.redis_proxy.silence();
        self.pause();
        self.redis_proxy.pass();
    }

    /// With the dump saved last; then saves one for the next time.
    fn restart_redis(&mut self) -> Result<()> {
        self.stores.redis.restart()?;
        self.pause();
        self.stores.redis.save_dump()
    }

    fn take_any(&mut self) -> Processor {
        let number = self.random.random_range(0..self.processors.len());
        let processor = self.processors.swap_remove(number);
        self.ended.add(Counts::of(&processor));
        processor
    }

    /// Kubernetes starts a container again that has ended by itself; here the test does.
    fn replace_ended(&mut self) -> Result<()> {
        let mut running = Vec::new();
        for mut processor in self.processors.drain(..) {
            match processor.process().try_wait()? {
                Some(status) => eprintln!(
                    "     a processor ended by itself ({status}):\n{}",
                    processor.process().log_tail()
                ),
                None => running.push(processor),
            }
        }
        self.processors = running;
        while self.processors.is_empty() {
            self.join()?;
        }
        Ok(())
    }
}

fn owned_partitions(processor: &Processor) -> Vec<i64> {
    let status = processor.status().unwrap_or_default();
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    partitions
        .iter()
        .filter_map(|partition| partition["partition"].as_i64())
        .collect()
}
