//! One stage of a demo: a log, a processor that reads it, and a feed that is never faster than the reader.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_crds::StrategyPipeline;
use assay_engine::SymbolView;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, block_in_place};

use super::{DemoError, Screen};
use crate::args::RunArgs;
use crate::commands::run::{RunError, run};
use crate::feed::FeedRecord;
use crate::feed::input::Input;
use crate::feed::kafka_sink::KafkaSink;
use crate::feed::pace::{Pace, Speed};
use crate::feed::route::route;
use crate::ingest::client::Connection;
use crate::latest::{LatestState, MemoryLatest};
use crate::run_config::RunConfig;
use crate::settings::standalone;
use crate::startup::Stores;
use crate::stores::ResultStore;

/// Records that may wait to be read. The mock broker drops the oldest of a partition beyond 100,000 or 5 MB.
const BACKLOG: i64 = 10_000;
/// Records between two looks at the reader.
const RECORDS_PER_LOOK: i64 = 500;
/// How long the reader is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(2);

/// What a stage runs.
pub struct Stage {
    /// Whose settings.
    pub pipeline: StrategyPipeline,
    /// Ordinal of the revision's instance: every stage has a log of its own, and so needs one of its own.
    pub instance: u32,
    /// The trades.
    pub input: Input,
    /// How fast recorded time passes.
    pub speed: Speed,
}

/// A processor under way.
struct Reader {
    running: JoinHandle<Result<(), RunError>>,
    stop: oneshot::Sender<()>,
    results: Arc<dyn ResultStore>,
    latest: Arc<MemoryLatest>,
    pipeline: String,
    revision: String,
}

/// Feeds the input through a processor; gives the revision whose rows then stand in `results`.
///
/// # Errors
/// Any part that fails.
pub async fn run_stage(stage: Stage, results: &Arc<dyn ResultStore>, screen: &mut Screen) -> Result<String, DemoError> {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1)?;
    let source = &stage.pipeline.spec.source;
    cluster.create_topic(&source.topic, source.partitions, 1)?;
    let config = configure(&stage, cluster.bootstrap_servers())?;
    let reader = Reader::start(config, Arc::clone(results));
    reader.wait_for_registration().await?;
    let sink = block_in_place(|| {
        KafkaSink::connect(&cluster.bootstrap_servers(), &source.topic, &[], &Connection::default())
    })?;
    let sent = feed(stage.input, Pace::new(stage.speed), sink, &reader, screen).await?;
    reader.wait_for(sent).await?;
    screen.clear();
    reader.finish().await
}

fn configure(stage: &Stage, bootstrap_servers: String) -> Result<RunConfig, DemoError> {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let args = RunArgs {
        pipeline: PathBuf::new(),
        revision: None,
        instance: stage.instance,
        admin: nowhere,
        workers: 1,
        snapshot_bytes: 64 * 1024 * 1024,
        drain_budget: Duration::from_secs(10),
        patience: Duration::from_secs(30),
    };
    let mut config = standalone(&stage.pipeline, &args)?;
    config.kafka.bootstrap_servers = bootstrap_servers;
    config.admin = None;
    Ok(config)
}

async fn feed(
    input: Input,
    mut pace: Pace,
    mut sink: KafkaSink,
    reader: &Reader,
    screen: &mut Screen,
) -> Result<i64, DemoError> {
    let mut symbols = BTreeSet::new();
    let mut sent = 0;
    for record in input.records {
        let record = record?;
        if let FeedRecord::Trade(trade) = &record {
            if !symbols.contains(&trade.symbol) {
                symbols.insert(trade.symbol.clone());
            }
            let wait = pace.wait_for(trade.event_time_us, Instant::now());
            // Even a sleep of nothing lasts until the timer's next millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        for routed in route(&record, sink.partitions()) {
            block_in_place(|| sink.send(&routed))?;
            sent += 1;
        }
        if sent % RECORDS_PER_LOOK == 0 {
            reader.wait_for_backlog(sent).await?;
        }
        if screen.is_due() {
            screen
                .show(sent, reader.applied().await?, &reader.views(&symbols))
                .map_err(DemoError::Screen)?;
        }
    }
    block_in_place(|| sink.finish())?;
    Ok(sent)
}

impl Reader {
    fn start(config: RunConfig, results: Arc<dyn ResultStore>) -> Self {
        let latest = Arc::new(MemoryLatest::default());
        let (pipeline, revision) = (config.pipeline.uid.clone(), config.revision.clone());
        let stores = Stores {
            results: Arc::clone(&results),
            latest: latest.clone(),
            breakers: Vec::new(),
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(run(config, stores, async {
            // A dropped sender ends the run as well.
            let _ = stopped.await;
        }));
        Self {
            running,
            stop,
            results,
            latest,
            pipeline,
            revision,
        }
    }

    /// The log's end when the revision is registered decides which rows are LIVE: nothing is fed before.
    async fn wait_for_registration(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        while self
            .results
            .registration(&self.pipeline, &self.revision)
            .await?
            .is_none()
        {
            self.pause(deadline, 0, 0).await?;
        }
        Ok(())
    }

    /// Waits until the reader is near enough for `sent` not to run away from it.
    async fn wait_for_backlog(&self, sent: i64) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let applied = self.applied().await?;
            if sent - applied <= BACKLOG {
                return Ok(());
            }
            self.pause(deadline, sent, applied).await?;
        }
    }

    /// Waits until `sent` records are committed.
    async fn wait_for(&self, sent: i64) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let progress = self.results.progress(&self.pipeline, &self.revision).await?;
            let committed = progress.iter().map(|row| row.next_offset).sum();
            if committed >= sent {
                return Ok(());
            }
            self.pause(deadline, sent, committed).await?;
        }
    }

    async fn pause(&self, deadline: Instant, wanted: i64, found: i64) -> Result<(), DemoError> {
        if self.running.is_finished() {
            return Err(DemoError::Ended);
        }
        if Instant::now() > deadline {
            return Err(DemoError::Stuck {
                wanted,
                found,
                seconds: PATIENCE.as_secs(),
            });
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Records whose effects are published: the log starts at offset 0, so a marker is a count.
    async fn applied(&self) -> Result<i64, DemoError> {
        let markers = self.latest.markers(&self.revision).await.map_err(DemoError::Latest)?;
        Ok(markers.values().sum())
    }

    fn views(&self, symbols: &BTreeSet<String>) -> Vec<SymbolView> {
        symbols
            .iter()
            .filter_map(|symbol| self.latest.view(&self.revision, symbol))
            .collect()
    }

    async fn finish(self) -> Result<String, DemoError> {
        // The run may have ended by itself; then its own error is the one to tell.
        let _ = self.stop.send(());
        match self.running.await {
            Ok(ended) => ended?,
            Err(_) => return Err(DemoError::Ended),
        }
        Ok(self.revision)
    }
}
