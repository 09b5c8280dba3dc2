//! `assay run`: the processor.

use crate::process::{Process, ProcessError};
use crate::run_config::RunConfig;
use crate::startup::{StartupError, Stores, prepare};

/// Why a run ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
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
            Self::Startup(error) => error.exit_code(),
            Self::Process(_) => 50,
        }
    }
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
