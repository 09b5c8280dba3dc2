//! `assay run`: the processor.

use assay_crds::spec::ResultsSpec;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::args::RunArgs;
use crate::connect::{ConnectError, Targets, connect};
use crate::process::{Process, ProcessError};
use crate::run_config::RunConfig;
use crate::secret::{Secret, SecretError};
use crate::settings::{SettingsError, load};
use crate::startup::{OTHER_ENGINE, StartupError, Stores, prepare};
use crate::tls::{Named, TlsMaterial};

/// Why a run ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command line, the manifest or the environment is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A store's address is wrong.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(#[from] std::io::Error),
    /// It did not start.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// It started and could not go on.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl RunError {
    /// The exit code, distinct by what has to be mended.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(SettingsError::EngineSemantics { .. }) => OTHER_ENGINE,
            Self::Settings(_) | Self::Connect(_) => 2,
            Self::Signals(_) => 71,
            Self::Startup(error) => error.exit_code(),
            Self::Process(_) => 50,
        }
    }
}

impl From<SecretError> for RunError {
    fn from(error: SecretError) -> Self {
        Self::Settings(error.into())
    }
}

/// The subcommand: reads manifest and environment, and runs until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`].
pub async fn command(args: &RunArgs) -> Result<(), RunError> {
    let (pipeline, config) = load(args)?;
    let stores = connect(&targets(&pipeline.spec.results, &config.pipeline.uid)?).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
        }
    };
    info!(
        revision = config.revision,
        topic = config.topic,
        group = config.group,
        "starting"
    );
    run(config, stores, shutdown).await
}

/// Where results go: the manifest says what there is, the environment how to get in.
fn targets(results: &ResultsSpec, pipeline: &str) -> Result<Targets, SecretError> {
    let (postgres, redis) = (&results.postgres, &results.redis);
    let postgres_tls = Named {
        authority: postgres.ca_secret.is_some(),
        identity: postgres.client_certificate_secret.is_some(),
    };
    let redis_tls = Named {
        authority: redis.ca_secret.is_some(),
        identity: redis.client_certificate_secret.is_some(),
    };
    Ok(Targets {
        results: Secret::require("ASSAY_POSTGRES_URL")?,
        results_tls: TlsMaterial::find("ASSAY_POSTGRES", postgres_tls)?,
        schema: postgres.schema.clone(),
        latest: Secret::require("ASSAY_REDIS_URL")?,
        latest_tls: TlsMaterial::find("ASSAY_REDIS", redis_tls)?,
        key_prefix: redis.key_prefix.clone(),
        pipeline: pipeline.to_owned(),
    })
}

/// Runs a processor until `shutdown`; then drains, commits, publishes and leaves the group inside the budget.
///
/// # Errors
/// What had to be as it was not; see [`RunError::exit_code`].
pub async fn run(config: RunConfig, stores: Stores, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    tokio::pin!(shutdown);
    let log = tokio::select! {
        log = prepare(&config, &stores) => log?,
        () = &mut shutdown => return Ok(()),
    };
    let process = Process::start(&config, &stores, log).await?;
    Ok(process.run(shutdown).await?)
}
