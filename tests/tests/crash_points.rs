//! Every crash point of the real binary, once with an abrupt end and once with a stop that ends after the takeover.
//!
//! All scenarios read one finished log with stores and a consumer group of their own, so that the results of one
//! undisturbed run are the oracle of them all. Afterwards rows and projection must be byte-equal to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use assay_processor::crash_points::CRASH_POINTS;
use assay_tests::once::Once;
use assay_tests::pipeline::{Endpoints, Options, Pipeline, dump, ensure_equal};
use assay_tests::processor::Processor;
use assay_tests::proxy::{Loss, Protocol, Proxy};
use assay_tests::{Kafka, Postgres, Redis, trades, wait};

const PARTITIONS: i32 = 3;
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// What a takeover may take beyond the session timeout.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(5);
const PASS_LIMIT: Duration = Duration::from_mins(1);

/// The log that all scenarios read, and what an undisturbed run makes of it.
struct Reference {
    pipeline: Pipeline<&'static Kafka>,
    oracle: String,
}

fn reference() -> Result<&'static Reference> {
    static REFERENCE: Once<Reference> = Once::new();
    REFERENCE.get(make_reference).context("the undisturbed run failed")
}

fn make_reference() -> Result<Reference> {
    let kafka = Kafka::shared()?;
    let pipeline = Pipeline::create(kafka, PARTITIONS)?;
    let trades = trades::slow_hour(2)?;
    kafka.produce(pipeline.topic(), trades.iter().map(trades::RecordedTrade::record))?;
    let stores = stores()?;
    stores.migrate()?;
    pipeline.run_undisturbed(&stores)?;
    let oracle = dump(&stores)?;
    for table in ["forecasts", "strategy_results"] {
        ensure!(
            oracle.lines().any(|line| line.starts_with(table)),
            "an oracle without {table} shows nothing"
        );
    }
    Ok(Reference { pipeline, oracle })
}

fn stores() -> Result<Endpoints> {
    Ok(Endpoints::direct(
        Postgres::shared()?.create_database()?,
        Arc::new(Redis::start()?),
    ))
}

fn wait_for_passage(point: &str, victim: &mut Processor, end: End) -> Result<()> {
    wait::until(PASS_LIMIT, &format!("the passage of {point}"), || {
        let reached = match end {
            End::Kill => victim.process().try_wait()?.is_some(),
            End::Stop => victim.process().is_frozen()?,
        };
        Ok(reached.then_some(()))
    })
}

/// How the crash point ends the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Stop,
}

impl End {
    fn action(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// One scenario: the victim with its armed crash point, and the successor that must finish its work.
struct Scenario {
    group: String,
    stores: Endpoints,
    proxy: Proxy,
    reference: &'static Reference,
}

impl Scenario {
    fn new(point: &str, end: End) -> Result<Self> {
        let reference = reference()?;
        let mut stores = stores()?;
        stores.migrate()?;
        let proxy = Proxy::start(stores.postgres_port, Protocol::Postgres)?;
        stores.postgres_port = proxy.port();
        Ok(Self {
            group: format!("{point}.{}", end.action()),
            stores,
            proxy,
            reference,
        })
    }

    fn start(&self, crash: &str) -> Result<Processor> {
        let options = Options {
            group_prefix: Some(&self.group),
            crash,
            ..Options::default()
        };
        self.reference.pipeline.start(&self.stores, &options)
    }

    /// The successor owns every partition soon after the victim's session has expired.
    fn ensure_quick_takeover(&self, successor: &mut Processor, since: Instant) -> Result<()> {
        wait_until_sole_owner(successor)?;
        let took = since.elapsed();
        eprintln!("{}: taken over after {took:?}", self.group);
        ensure!(took < SESSION_TIMEOUT + TAKEOVER_LIMIT, "the takeover took {took:?}");
        Ok(())
    }

    fn ensure_same_results(&self) -> Result<()> {
        ensure_equal(&dump(&self.stores)?, &self.reference.oracle).context(self.group.clone())
    }
}

/// Runs the victim into its crash point, lets the successor finish, wakes a stopped victim, and compares.
fn survive(point: &'static str, end: End) -> Result<()> {
    let scenario = Scenario::new(point, end)?;
    let mut victim = provoke(&scenario, point, end)?;
    wait_for_passage(point, &mut victim, end)?;
    let since = Instant::now();
    let mut successor = scenario.start("")?;
    scenario.ensure_quick_takeover(&mut successor, since)?;
    let caught_up = |successor: &mut Processor| {
        scenario
            .reference
            .pipeline
            .wait_until_caught_up(&scenario.stores, || successor.process().ensure_running())
    };
    caught_up(&mut successor)?;
    if end == End::Stop {
        victim.process().thaw();
        wait_until_harmless(&mut victim)?;
        caught_up(&mut successor)?;
    }
    scenario.reference.pipeline.shut_down(successor)?;
    drop(victim);
    scenario.ensure_same_results()
}

/// A woken zombie answers again: it has joined anew, or it never got as far as its admin pages and has ended.
fn wait_until_harmless(victim: &mut Processor) -> Result<()> {
    wait::until(PASS_LIMIT, "the woken victim", || {
        Ok((victim.process().try_wait()?.is_some() || victim.get("/readyz").is_ok()).then_some(()))
    })
}

/// Starts the victim and brings about what leads it to the point.
fn provoke(scenario: &Scenario, point: &str, end: End) -> Result<Processor> {
    let armed = |pass: u32| format!("{point}={}@{pass}", end.action());
    match point {
        // Only after a lost reply does anybody ask for progress.
        "progress.before" | "progress.after" => {
            scenario.proxy.lose("UPDATE progress p", Loss::Reply, 1);
            scenario.start(&armed(1))
        }
        // Only a start behind the stored progress replays.
        "replay.batch" => {
            let mut first = scenario.start("commit.before=kill@2")?;
            wait_for_passage("commit.before", &mut first, End::Kill)?;
            scenario.start(&armed(1))
        }
        "rebalance.revoke" | "rebalance.lost" => provoke_rebalance(scenario, point, &armed(1)),
        // The second of each: something stands in the stores, and even a quick reader of the log gets this far.
        "commit.before" | "commit.after" | "publish.before" | "publish.after" => scenario.start(&armed(2)),
        _ => scenario.start(&armed(1)),
    }
}

/// Partitions are revoked when another member joins, and lost when the session expired while the member stood still.
fn provoke_rebalance(scenario: &Scenario, point: &str, crash: &str) -> Result<Processor> {
    let mut victim = scenario.start(crash)?;
    scenario.reference.pipeline.wait_until_ready(&mut victim)?;
    if point == "rebalance.lost" {
        lose_assignment(scenario, &mut victim)?;
    } else {
        let mut other = scenario.start("")?;
        scenario.reference.pipeline.wait_until_ready(&mut other)?;
    }
    Ok(victim)
}

/// A woken member is now and then asked to give its partitions up, as in any rebalance, and loses none: then it sleeps again.
fn lose_assignment(scenario: &Scenario, victim: &mut Processor) -> Result<()> {
    const ATTEMPTS: usize = 4;
    victim.process().freeze();
    let mut other = scenario.start("")?;
    for _ in 0..ATTEMPTS {
        wait_until_sole_owner(&mut other)?;
        victim.process().thaw();
        if passes_within(SESSION_TIMEOUT * 2, victim)? {
            return Ok(());
        }
        victim.process().freeze();
    }
    bail!("{ATTEMPTS} sleeps cost no assignment:\n{}", victim.process().log_tail())
}

/// Whether the process ends, or stops, at its crash point in time.
fn passes_within(limit: Duration, victim: &mut Processor) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if victim.process().try_wait()?.is_some() || victim.process().is_frozen()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

fn wait_until_sole_owner(processor: &mut Processor) -> Result<()> {
    wait::until(PASS_LIMIT, "every partition at one processor", || {
        processor.process().ensure_running()?;
        let status = processor.status().unwrap_or_default();
        let owned = status["partitions"].as_array().map_or(0, Vec::len);
        Ok((owned == usize::try_from(PARTITIONS)?).then_some(()))
    })
}

macro_rules! crash_points {
    ($($name:ident => $point:literal,)*) => {
        const TESTED: &[&str] = &[$($point),*];

        mod killed_at {
            $(#[test] fn $name() -> anyhow::Result<()> { super::survive($point, super::End::Kill) })*
        }

        mod stopped_at {
            $(#[test] fn $name() -> anyhow::Result<()> { super::survive($point, super::End::Stop) })*
        }
    };
}

crash_points! {
    register_before => "register.before",
    register_after => "register.after",
    take_over_before => "take_over.before",
    take_over_after => "take_over.after",
    snapshots_load_before => "snapshots.load.before",
    snapshots_load_after => "snapshots.load.after",
    replay_batch => "replay.batch",
    commit_before => "commit.before",
    commit_after => "commit.after",
    progress_before => "progress.before",
    progress_after => "progress.after",
    snapshot_encode => "snapshot.encode",
    snapshot_save_before => "snapshot.save.before",
    snapshot_save_after => "snapshot.save.after",
    publish_before => "publish.before",
    publish_after => "publish.after",
    markers_before => "markers.before",
    markers_after => "markers.after",
    live_before => "live.before",
    live_after => "live.after",
    rebalance_assign => "rebalance.assign",
    rebalance_revoke => "rebalance.revoke",
    rebalance_lost => "rebalance.lost",
    group_offsets_before => "group_offsets.before",
}

#[test]
fn every_crash_point_of_the_binary_is_visited() {
    assert_eq!(TESTED, CRASH_POINTS);
}
