//! The whole run loop inside one process: librdkafka's mock brokers, SQLite and the projection in memory.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_engine::Settings;
use assay_engine::settings::{StrategySettings, VwapReversionSettings};
use assay_processor::commands::run::{RunError, run};
use assay_processor::ingest::client::Connection;
use assay_processor::ingest::log_client::LogError;
use assay_processor::latest::MemoryLatest;
use assay_processor::resilience::RetryPolicy;
use assay_processor::run_config::{PipelineIdentity, RunConfig};
use assay_processor::startup::{StartupError, Stores};
use assay_processor::stores::SqliteStore;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TOPIC: &str = "raw.trades";
const PARTITIONS: i32 = 3;
const PIPELINE: &str = "uid-1";
const REVISION: &str = "0123456789-1";
const PATIENCE: Duration = Duration::from_mins(1);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

/// A trade every second for each of six symbols, some garbage between.
fn produce(cluster: &Cluster, rounds: std::ops::Range<i64>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap();
    for round in rounds {
        for symbol in 0..6 {
            let value = if round % 100 == 99 {
                "garbage".to_owned()
            } else {
                trade(round, symbol)
            };
            let key = format!("SYM{symbol}");
            let record = BaseRecord::to(TOPIC)
                .partition(symbol % PARTITIONS)
                .key(&key)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).unwrap();
}

fn trade(round: i64, symbol: i32) -> String {
    let time = 1_700_000_000_000_000 + round * 1_000_000;
    let cents = (round * 37 % 91) - (round * 11 % 53);
    format!(
        r#"{{"v":1,"venue":"test","symbol":"SYM{symbol}","trade_id":{round},"price":"{}.{:02}","quantity":"0.5","side":"sell","event_time_us":{time},"received_time_us":{time}}}"#,
        1000 + cents.div_euclid(100),
        cents.rem_euclid(100)
    )
}

fn settings() -> Arc<Settings> {
    let reversion = VwapReversionSettings {
        entry_z: 0.5,
        exit_z: 0.2,
        max_z: 3.0,
        min_trades: 5,
        min_deviation_ticks: 0.1,
    };
    Arc::new(Settings {
        revision: REVISION.into(),
        lateness_us: 1_000_000,
        dedupe_window_us: 600_000_000,
        vwap_window_s: 10,
        profile_window_s: 10,
        range_bar_s: 2,
        range_bars: 3,
        strategies: BTreeMap::from([("vwap-reversion".into(), StrategySettings::VwapReversion(reversion))]),
        horizon_us: 5_000_000,
        volatility_multiple: 0.5,
        stale_after_us: 10_000_000,
        prior_strength: 30.0,
        decay_outcomes: 4000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    })
}

fn config(cluster: &Cluster) -> RunConfig {
    RunConfig {
        pipeline: PipelineIdentity {
            uid: PIPELINE.into(),
            cluster: "local".into(),
            namespace: "tests".into(),
            name: "embedded".into(),
        },
        revision: REVISION.into(),
        settings_document: "{}".into(),
        settings: settings(),
        engine_semantics: 1,
        offsets: None,
        kafka: Connection {
            bootstrap_servers: cluster.bootstrap_servers(),
            ..Connection::default()
        },
        topic: TOPIC.into(),
        topic_identity: String::new(),
        dead_letter_topic: None,
        partitions: PARTITIONS,
        group: "assay.tests.embedded".into(),
        commit_interval: Duration::from_millis(50),
        publish_interval: Duration::from_millis(10),
        max_rows: 10_000,
        snapshot_bytes: 50_000,
        workers: 2,
        drain_budget: Duration::from_secs(10),
        retry: RetryPolicy {
            give_up_after: Duration::from_secs(3),
            ..RetryPolicy::default()
        },
        call_timeout: Duration::from_secs(2),
        admin: None,
    }
}

async fn stores() -> Stores {
    Stores {
        results: Arc::new(SqliteStore::in_memory().await.unwrap()),
        latest: Arc::new(MemoryLatest::default()),
        breakers: Vec::new(),
    }
}

/// A run in the background.
struct Running {
    run: JoinHandle<Result<(), RunError>>,
    stop: oneshot::Sender<()>,
}

impl Running {
    fn start(cluster: &Cluster, stores: &Stores) -> Self {
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(run(config(cluster), stores.clone(), async {
            let _ = stopped.await;
        }));
        Self { run, stop }
    }

    async fn wait_for<F: Future<Output = bool>>(&mut self, what: &str, is_so: impl Fn() -> F) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so().await {
            assert!(!self.run.is_finished(), "the run ended: {:?}", (&mut self.run).await);
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every partition is committed and published up to `records` records in all.
    async fn reach(&mut self, stores: &Stores, records: i64) {
        self.wait_for(&format!("{records} records"), || is_at(stores, records))
            .await;
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.run.await.unwrap().unwrap();
    }
}

/// Runs until `records` records are done, then shuts down in order.
async fn run_until(cluster: &Cluster, stores: &Stores, records: i64) {
    let mut running = Running::start(cluster, stores);
    running.reach(stores, records).await;
    running.stop().await;
}

async fn is_at(stores: &Stores, records: i64) -> bool {
    let Ok(progress) = stores.results.progress(PIPELINE, REVISION).await else {
        return false;
    };
    let markers = stores.latest.markers(REVISION).await.unwrap();
    // Without a row for each partition, the revision is not registered yet.
    progress.len() == PARTITIONS as usize
        && progress.iter().map(|row| row.next_offset).sum::<i64>() == records
        && markers.values().sum::<i64>() == records
}

async fn dump(stores: &Stores) -> String {
    stores.results.dump(PIPELINE, REVISION).await.unwrap() + &stores.latest.dump(REVISION).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_with_a_shutdown_between_them_leave_what_one_run_leaves() {
    let cluster = cluster();
    let halves = stores().await;
    // Registers both revisions at the same log end, because that decides which rows are live.
    let whole = stores().await;
    run_until(&cluster, &halves, 0).await;
    run_until(&cluster, &whole, 0).await;
    produce(&cluster, 0..400);
    run_until(&cluster, &halves, 2400).await;
    produce(&cluster, 400..800);
    run_until(&cluster, &halves, 4800).await;
    run_until(&cluster, &whole, 4800).await;
    let wanted = dump(&whole).await;
    assert!(
        wanted.contains("HIT") && wanted.contains("garbage") | wanted.contains("undecodable"),
        "{wanted}"
    );
    assert_eq!(dump(&halves).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_move_to_another_run_and_back_leave_what_one_run_leaves() {
    let cluster = cluster();
    let of_two = stores().await;
    let of_one = stores().await;
    // Registers both revisions at the same log end, because that decides which rows are live.
    run_until(&cluster, &of_two, 0).await;
    run_until(&cluster, &of_one, 0).await;
    produce(&cluster, 0..200);
    let mut first = Running::start(&cluster, &of_two);
    first.reach(&of_two, 1200).await;
    let alone = epochs(&of_two).await;
    let mut second = Running::start(&cluster, &of_two);
    produce(&cluster, 200..400);
    let moved = || async { epochs(&of_two).await > alone };
    first.wait_for("a partition to move", moved).await;
    first.reach(&of_two, 2400).await;
    first.stop().await;
    produce(&cluster, 400..600);
    second.reach(&of_two, 3600).await;
    second.stop().await;
    run_until(&cluster, &of_one, 3600).await;
    assert_eq!(dump(&of_two).await, dump(&of_one).await);
}

/// Sum of all epochs: one for each take-over.
async fn epochs(stores: &Stores) -> i64 {
    let progress = stores.results.progress(PIPELINE, REVISION).await.unwrap();
    progress.iter().map(|progress| progress.fence.epoch).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_the_first_revision_becomes_live() {
    let cluster = cluster();
    let stores = stores().await;
    run_until(&cluster, &stores, 0).await;
    let live = stores.results.live_revision(PIPELINE).await.unwrap();
    assert_eq!(live.map(|(revision, _)| revision).as_deref(), Some(REVISION));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named() {
    let cluster = cluster();
    let config = RunConfig {
        topic: "elsewhere".into(),
        ..config(&cluster)
    };
    let error = run(config, stores().await, std::future::pending()).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Startup(StartupError::Log(LogError::TopicMissing(topic))) if topic == "elsewhere"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partition_count_is_named() {
    let cluster = cluster();
    let config = RunConfig {
        partitions: 4,
        ..config(&cluster)
    };
    let error = run(config, stores().await, std::future::pending()).await.unwrap_err();
    let RunError::Startup(StartupError::PartitionCount { wanted, found, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((wanted, found), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_of_another_engine_is_refused() {
    let cluster = cluster();
    let stores = stores().await;
    run_until(&cluster, &stores, 0).await;
    let config = RunConfig {
        engine_semantics: 2,
        ..config(&cluster)
    };
    let error = run(config, stores, std::future::pending()).await.unwrap_err();
    assert!(
        matches!(
            error,
            RunError::Startup(StartupError::EngineSemantics {
                wanted: 1,
                found: 2,
                ..
            })
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_are_named_within_the_bound() {
    let cluster = cluster();
    let kafka = Connection {
        bootstrap_servers: "127.0.0.1:1".into(),
        ..Connection::default()
    };
    let config = RunConfig {
        kafka,
        call_timeout: Duration::from_millis(300),
        ..config(&cluster)
    };
    let started = Instant::now();
    let error = run(config, stores().await, std::future::pending()).await.unwrap_err();
    assert!(
        matches!(
            error,
            RunError::Startup(StartupError::Log(LogError::Unreachable { .. }))
        ),
        "{error}"
    );
    assert_eq!(error.exit_code(), 10);
    assert!(started.elapsed() < Duration::from_secs(20));
}
