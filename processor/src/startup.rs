//! Everything that must be true before the first record: topic, stores, registration. Every error names the remedy.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::crash_points::crash_point;
use crate::ingest::log_client::{LogClient, LogError};
use crate::latest::{LatestError, LatestState};
use crate::partition::LogBounds;
use crate::resilience::{Breaker, Transient};
use crate::run_config::RunConfig;
use crate::stores::{Registration, ResultStore, StartOffsets, StoreError};

/// The stores of a run.
#[derive(Clone)]
pub struct Stores {
    /// The truth.
    pub results: Arc<dyn ResultStore>,
    /// The projection.
    pub latest: Arc<dyn LatestState>,
    /// The circuit breakers in front of them, by store, for metrics.
    pub breakers: Vec<(&'static str, Arc<Breaker>)>,
}

/// Exit code where the revision was made for another engine.
pub const OTHER_ENGINE: u8 = 40;

/// Why a processor does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Kafka or the topic.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The topic has another partition count.
    #[error(
        "topic {topic} has {found} partitions, spec.source.partitions says {wanted}; results depend on the count: correct the manifest, or use a topic with {wanted}"
    )]
    PartitionCount {
        /// Topic.
        topic: String,
        /// What the manifest says.
        wanted: i32,
        /// What Kafka says.
        found: i32,
    },
    /// The result store.
    #[error(transparent)]
    Results(#[from] StoreError),
    /// The latest-state store.
    #[error(transparent)]
    Latest(#[from] LatestError),
    /// The revision was made for another engine.
    #[error(
        "revision {revision} was made for engine semantics {wanted}, this build has {found}; run the build that made it, or let the operator make a new revision"
    )]
    EngineSemantics {
        /// Revision.
        revision: String,
        /// The revision's.
        wanted: i32,
        /// Ours.
        found: i32,
    },
    /// The topic is not the one the revision was made for.
    #[error(
        "topic {topic} is not the one revision {revision} was made from (id {wanted:?}, now {found:?}): it was created anew; start a new instance of the revision (assay run --instance N)"
    )]
    TopicIdentity {
        /// Topic.
        topic: String,
        /// Revision.
        revision: String,
        /// The revision's.
        wanted: String,
        /// Kafka's.
        found: String,
    },
    /// The revision was made for another partition count.
    #[error("revision {revision} was made for {wanted} partitions, the manifest says {found}; start a new revision")]
    RevisionPartitions {
        /// Revision.
        revision: String,
        /// The revision's.
        wanted: i32,
        /// The manifest's.
        found: i32,
    },
}

impl StartupError {
    /// The exit code, distinct by what has to be mended.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Log(LogError::OwnedKey(_) | LogError::Configuration(_)) => 2,
            Self::Log(LogError::Unreachable { .. }) => 10,
            Self::Log(LogError::TopicMissing(_)) => 11,
            Self::Log(LogError::TopicRefused { .. }) => 12,
            Self::PartitionCount { .. } | Self::RevisionPartitions { .. } => 13,
            Self::Log(LogError::OffsetsUnknown { .. }) => 14,
            Self::TopicIdentity { .. } => 15,
            Self::Log(LogError::NoAccess { .. }) => 16,
            Self::Results(StoreError::Unavailable(_) | StoreError::NotAsked(_)) => 20,
            Self::Results(StoreError::SchemaOutdated { .. }) => 21,
            Self::Results(StoreError::Refused(_) | StoreError::UniqueViolation(_)) => 22,
            Self::Results(StoreError::NoAccess(_)) => 23,
            Self::Latest(LatestError::Unavailable(_) | LatestError::NotAsked(_)) => 30,
            Self::Latest(LatestError::Evicting(_)) => 31,
            Self::Latest(LatestError::NoAccess(_)) => 32,
            Self::EngineSemantics { .. } => OTHER_ENGINE,
            Self::Log(LogError::Internal(_)) => 70,
        }
    }
}

/// Checks everything and registers the revision; gives the client for questions to Kafka.
///
/// # Errors
/// The first thing that is not as it must be, after waiting for what is away.
pub async fn prepare(config: &RunConfig, stores: &Stores) -> Result<Arc<LogClient>, StartupError> {
    let log = Arc::new(LogClient::new(&config.kafka, &config.topic, config.call_timeout)?);
    check_topic(config, &log).await?;
    patiently(config, "results.check", || stores.results.check()).await?;
    patiently(config, "latest.check", || stores.latest.check()).await?;
    register(config, stores, &log).await?;
    Ok(log)
}

async fn check_topic(config: &RunConfig, log: &Arc<LogClient>) -> Result<(), StartupError> {
    let found = patiently(config, "partitions", || log.ask(LogClient::partition_count)).await?;
    if found == config.partitions {
        return Ok(());
    }
    Err(StartupError::PartitionCount {
        topic: config.topic.clone(),
        wanted: config.partitions,
        found,
    })
}

async fn patiently<T, E: Transient + Display, F: Future<Output = Result<T, E>>>(
    config: &RunConfig,
    call: &'static str,
    attempt: impl FnMut() -> F,
) -> Result<T, E> {
    // Metrics do not exist yet; the policy logs each repetition.
    config.retry.run(call, &AtomicU64::new(0), attempt).await
}

/// The stored registration wins; a new one resolves its offsets once, for all partitions at the same moment.
async fn register(config: &RunConfig, stores: &Stores, log: &Arc<LogClient>) -> Result<(), StartupError> {
    let results = &stores.results;
    let (pipeline, revision) = (&config.pipeline.uid, &config.revision);
    let stored = patiently(config, "registration", || results.registration(pipeline, revision)).await?;
    let identity = log.ask(LogClient::topic_identity).await?;
    let registration = match stored {
        Some(stored) => check_registration(config, stored, &identity)?,
        None => new_registration(config, log, identity).await?,
    };
    let make_live = config.is_standalone();
    crash_point!("register.before");
    patiently(config, "register", || results.register(&registration, make_live)).await?;
    crash_point!("register.after");
    Ok(())
}

fn check_registration(
    config: &RunConfig,
    stored: Registration,
    topic_identity: &str,
) -> Result<Registration, StartupError> {
    let revision = config.revision.clone();
    if stored.engine_semantics != config.engine_semantics {
        let (wanted, found) = (stored.engine_semantics, config.engine_semantics);
        return Err(StartupError::EngineSemantics {
            revision,
            wanted,
            found,
        });
    }
    if stored.partitions != config.partitions {
        let (wanted, found) = (stored.partitions, config.partitions);
        return Err(StartupError::RevisionPartitions {
            revision,
            wanted,
            found,
        });
    }
    check_identity(config, &stored.topic_identity, topic_identity)?;
    Ok(stored)
}

/// Where one side knows no id, the digests of records tell one log from another.
fn check_identity(config: &RunConfig, wanted: &str, found: &str) -> Result<(), StartupError> {
    if wanted.is_empty() || found.is_empty() || wanted == found {
        return Ok(());
    }
    Err(StartupError::TopicIdentity {
        topic: config.topic.clone(),
        revision: config.revision.clone(),
        wanted: wanted.to_owned(),
        found: found.to_owned(),
    })
}

async fn new_registration(
    config: &RunConfig,
    log: &Arc<LogClient>,
    identity: String,
) -> Result<Registration, StartupError> {
    check_identity(config, &config.topic_identity, &identity)?;
    let offsets = match &config.offsets {
        Some(offsets) => offsets.clone(),
        None => offsets_now(config, log).await?,
    };
    let pipeline = &config.pipeline;
    Ok(Registration {
        pipeline: pipeline.uid.clone(),
        cluster: pipeline.cluster.clone(),
        namespace: pipeline.namespace.clone(),
        name: pipeline.name.clone(),
        revision: config.revision.clone(),
        settings: config.settings_document.clone(),
        engine_semantics: config.engine_semantics,
        topic_identity: identity,
        partitions: config.partitions,
        offsets,
    })
}

async fn offsets_now(config: &RunConfig, log: &Arc<LogClient>) -> Result<Vec<StartOffsets>, LogError> {
    let all: Vec<i32> = (0..config.partitions).collect();
    let ask = || {
        let all = all.clone();
        log.ask(move |log| log.bounds(&all))
    };
    let bounds = patiently(config, "log_bounds", ask).await?;
    let offsets = |(partition, log): (i32, LogBounds)| StartOffsets {
        partition,
        start_offset: log.start,
        live_from_offset: log.end,
    };
    Ok(bounds.into_iter().map(offsets).collect())
}
