//! A running processor: its threads and tasks, from the first poll to the last group offset.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaResult;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::admin::{self, Admin};
use crate::commit::dead_letters::{self, DeadLetterMirror};
use crate::commit::flush::Flusher;
use crate::commit::publish::Publisher;
use crate::commit::snapshots::SnapshotWriter;
use crate::ingest::lag::{LagBoard, LagWatch};
use crate::ingest::log_client::{LogClient, LogError};
use crate::ingest::ownership::{Ownership, OwnershipError, Parts};
use crate::ingest::poll::{GroupEvent, PollCommand, PollLoop};
use crate::ingest::rebalance::GroupContext;
use crate::ingest::record_queue::{GroupConsumer, RecordQueue};
use crate::ingest::takeover::TakeOver;
use crate::partition::actor::{ActorEvent, Shared};
use crate::partition::workers::{WorkerThreads, Workers};
use crate::resilience::health::{Dependency, HealthBoard, Pulse};
use crate::run_config::RunConfig;
use crate::startup::Stores;
use crate::telemetry::Metrics;
use crate::telemetry::report::Reporter;

/// How long leaving the group may take after the drain.
const LEAVE_BUDGET: Duration = Duration::from_secs(5);

/// Why a started processor ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The consumer could not be made.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The dead letters cannot be sent.
    #[error(transparent)]
    DeadLetters(#[from] dead_letters::ProducerError),
    /// Kafka's client has no memory for a queue.
    #[error("Kafka's client gives no queue; raise the memory limit")]
    NoQueue,
    /// The system refused a thread or an address.
    #[error("{what}: {cause}; give --admin an address that is free here, or raise the limits of the system")]
    System {
        /// What was wanted.
        what: String,
        /// Cause.
        cause: std::io::Error,
    },
    /// A metric could not be registered.
    #[error("metrics: {0}; this is a defect: report it")]
    Metrics(#[from] prometheus::Error),
    /// See there.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// A task ended that never ends.
    #[error("a background task ended: {0}; this is a defect: report it with the log above")]
    TaskEnded(String),
}

/// What every part shares.
struct Common {
    metrics: Arc<Metrics>,
    health: Arc<HealthBoard>,
    pulse: Arc<Pulse>,
    workers: Arc<Workers>,
    log: Arc<LogClient>,
    snapshots: SnapshotWriter,
    poll: std::sync::mpsc::Sender<PollCommand>,
}

/// A started processor.
pub struct Process {
    ownership: Ownership,
    group: mpsc::UnboundedReceiver<GroupEvent>,
    actors: mpsc::UnboundedReceiver<ActorEvent>,
    tasks: JoinSet<()>,
    poll: std::sync::mpsc::Sender<PollCommand>,
    poll_thread: JoinHandle<KafkaResult<()>>,
    workers: Arc<Workers>,
    worker_threads: WorkerThreads,
}

impl Process {
    /// Starts threads and tasks; the group is joined in the background.
    ///
    /// # Errors
    /// Something could not be started.
    pub async fn start(config: &RunConfig, stores: &Stores, log: Arc<LogClient>) -> Result<Self, ProcessError> {
        let metrics = Arc::new(Metrics::new()?);
        let health = Arc::new(HealthBoard::default());
        for dependency in [Dependency::Kafka, Dependency::Results, Dependency::Latest] {
            // `prepare` just reached all three.
            health.works(dependency, "prepare");
        }
        let pulse = Arc::new(Pulse::default());
        let rows_full = Arc::new(Notify::new());
        let (events, actors) = mpsc::unbounded_channel();
        let shared = Shared {
            metrics: Arc::clone(&metrics),
            events,
            rows_full: Arc::clone(&rows_full),
            max_rows: config.max_rows,
            snapshot_bytes: config.snapshot_bytes,
        };
        let consumer = consumer(config, &metrics)?;
        let queues = record_queues(&consumer, config.workers)?;
        let (workers, worker_threads) =
            Workers::start(&queues, &shared).map_err(|cause| system("worker threads", cause))?;
        let (poll, commands) = std::sync::mpsc::channel();
        let (group_events, group) = mpsc::unbounded_channel();
        let snapshots = SnapshotWriter::new(Arc::clone(&stores.results), Arc::clone(&metrics));
        let common = Common {
            metrics,
            health,
            pulse,
            workers: Arc::new(workers),
            log,
            snapshots,
            poll,
        };

        let mut tasks = JoinSet::new();
        serve_admin(config, stores, &common, &mut tasks).await?;
        let poll_loop = PollLoop::new(
            consumer,
            config.topic.clone(),
            commands,
            group_events,
            Arc::clone(&common.workers),
            queues,
            Arc::clone(&common.pulse),
        );
        let poll_thread = std::thread::Builder::new()
            .name("poll".into())
            .spawn(move || poll_loop.run());
        let poll_thread = poll_thread.map_err(|cause| system("the poll thread", cause))?;
        mirror_dead_letters(config, stores, &common, &mut tasks)?;
        let ownership = spawn_tasks(config, stores, &common, rows_full, &mut tasks);
        let Common { poll, workers, .. } = common;
        Ok(Self {
            ownership,
            group,
            actors,
            tasks,
            poll,
            poll_thread,
            workers,
            worker_threads,
        })
    }

    /// Works until `shutdown`, then finishes what is under way.
    ///
    /// # Errors
    /// The reason why it ended by itself.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ProcessError> {
        let ended = tokio::select! {
            result = self.ownership.run(&mut self.group, &mut self.actors) => result.map_err(ProcessError::from),
            Some(ended) = self.tasks.join_next() => {
                Err(ProcessError::TaskEnded(ended.err().map_or_else(|| "no reason".to_owned(), |error| error.to_string())))
            }
            () = shutdown => Ok(()),
        };
        let offsets = if ended.is_ok() {
            info!("shutting down: draining");
            self.ownership.finish().await
        } else {
            Vec::new()
        };
        self.leave(offsets).await;
        ended
    }

    /// Ends everything; the poll thread last, because closing the consumer needs that nobody else holds it.
    async fn leave(mut self, offsets: Vec<(i32, i64)>) {
        self.tasks.shutdown().await;
        self.workers.finish();
        let threads = self.worker_threads;
        // Workers never wait for anything but requests.
        let _ = tokio::task::spawn_blocking(move || threads.join()).await;
        // The poll thread may have ended by itself.
        let _ = self.poll.send(PollCommand::Close(offsets));
        let poll_thread = self.poll_thread;
        let left = tokio::task::spawn_blocking(move || poll_thread.join());
        match tokio::time::timeout(LEAVE_BUDGET, left).await {
            Ok(Ok(Ok(Ok(())))) => info!("left the group"),
            Ok(outcome) => warn!(?outcome, "the poll thread did not end well"),
            Err(_) => warn!("leaving the group took too long; the session will expire by itself"),
        }
    }
}

fn system(what: impl Into<String>, cause: std::io::Error) -> ProcessError {
    ProcessError::System {
        what: what.into(),
        cause,
    }
}

fn consumer(config: &RunConfig, metrics: &Arc<Metrics>) -> Result<Arc<GroupConsumer>, ProcessError> {
    let client = config.kafka.group_member(&config.group).map_err(LogError::from)?;
    let context = GroupContext::new(Arc::clone(metrics));
    let consumer = client.create_with_context(context).map_err(LogError::Configuration)?;
    Ok(Arc::new(consumer))
}

/// One queue for each worker.
fn record_queues(consumer: &Arc<GroupConsumer>, workers: usize) -> Result<Vec<Arc<RecordQueue>>, ProcessError> {
    let queues: Option<Vec<_>> = (0..workers.max(1))
        .map(|_| RecordQueue::new(Arc::clone(consumer)))
        .collect();
    queues.ok_or(ProcessError::NoQueue)
}

async fn serve_admin(
    config: &RunConfig,
    stores: &Stores,
    common: &Common,
    tasks: &mut JoinSet<()>,
) -> Result<(), ProcessError> {
    let lag = Arc::new(LagBoard::default());
    let watch = LagWatch {
        log: Arc::clone(&common.log),
        board: Arc::clone(&lag),
        workers: Arc::clone(&common.workers),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
    };
    tasks.spawn(watch.run());
    let Some(address) = config.admin else { return Ok(()) };
    let listener = admin::bind(address)
        .await
        .map_err(|cause| system(format!("admin address {address}"), cause))?;
    info!(address = %listener.local_addr().unwrap_or(address), "admin pages");
    let pages = Arc::new(Admin {
        pipeline: format!("{}/{}", config.pipeline.namespace, config.pipeline.name),
        revision: config.revision.clone(),
        topic: config.topic.clone(),
        group: config.group.clone(),
        workers: Arc::clone(&common.workers),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
        lag,
        pulse: Arc::clone(&common.pulse),
        breakers: stores.breakers.clone(),
    });
    tasks.spawn(async move {
        if let Err(error) = admin::serve(listener, pages).await {
            warn!(%error, "admin pages");
        }
    });
    Ok(())
}

fn mirror_dead_letters(
    config: &RunConfig,
    stores: &Stores,
    common: &Common,
    tasks: &mut JoinSet<()>,
) -> Result<(), ProcessError> {
    let Some(topic) = &config.dead_letter_topic else {
        return Ok(());
    };
    let mirror = DeadLetterMirror {
        pipeline: config.pipeline.uid.clone(),
        revision: config.revision.clone(),
        source: config.topic.clone(),
        topic: topic.clone(),
        workers: Arc::clone(&common.workers),
        store: Arc::clone(&stores.results),
        producer: dead_letters::producer(&config.kafka)?,
        metrics: Arc::clone(&common.metrics),
    };
    tasks.spawn(mirror.run());
    Ok(())
}

fn spawn_tasks(
    config: &RunConfig,
    stores: &Stores,
    common: &Common,
    rows_full: Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Ownership {
    let (flush, flush_requests) = mpsc::channel(16);
    let (publish, publish_requests) = mpsc::channel(16);
    let flusher = Flusher {
        pipeline: config.pipeline.uid.clone(),
        revision: config.revision.clone(),
        workers: Arc::clone(&common.workers),
        store: Arc::clone(&stores.results),
        snapshots: common.snapshots.clone(),
        poll: common.poll.clone(),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
    };
    tasks.spawn(flusher.run(config.commit_interval, rows_full, flush_requests));
    let publisher = Publisher {
        pipeline: config.pipeline.uid.clone(),
        revision: config.revision.clone(),
        workers: Arc::clone(&common.workers),
        latest: Arc::clone(&stores.latest),
        store: Arc::clone(&stores.results),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
    };
    tasks.spawn(publisher.run(config.publish_interval, publish_requests));
    let reporter = Reporter {
        workers: Arc::clone(&common.workers),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
        pulse: Arc::clone(&common.pulse),
    };
    tasks.spawn(reporter.run());
    let take_over = TakeOver {
        pipeline: config.pipeline.uid.clone(),
        revision: config.revision.clone(),
        settings: Arc::clone(&config.settings),
        store: Arc::clone(&stores.results),
        log: Arc::clone(&common.log),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
        retry: config.retry,
    };
    Ownership::new(Parts {
        take_over: Arc::new(take_over),
        log: Arc::clone(&common.log),
        workers: Arc::clone(&common.workers),
        poll: common.poll.clone(),
        flush,
        publish,
        snapshots: common.snapshots.clone(),
        metrics: Arc::clone(&common.metrics),
        health: Arc::clone(&common.health),
        drain_budget: config.drain_budget,
    })
}
