//! The whole run loop on parts that live inside the process: a mock broker, a SQLite file and a projection in memory.
//!
//! Nothing here is a second engine or a second loop: a stage is `assay run` and `assay feed`, joined.

mod figures;
mod screen;
mod stage;

pub use figures::{StrategyFigures, read_figures};
pub use screen::Screen;
pub use stage::{Stage, run_stage};

use assay_crds::Problems;

use crate::backtest::BacktestError;
use crate::commands::backtest::CommandError;
use crate::commands::run::RunError;
use crate::feed::{FeedError, InputError};
use crate::settings::SettingsError;
use crate::stores::StoreError;

/// Why a demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The output folder cannot be made.
    #[error("{path}: {source}; name a new folder with --out")]
    Output {
        /// Path.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The terminal cannot be written to.
    #[error("standard output: {0}")]
    Screen(std::io::Error),
    /// A manifest is wrong.
    #[error("the manifest is not valid:\n{0}")]
    Manifest(#[from] Problems),
    /// The settings of a run are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The mock broker does not start.
    #[error("the mock broker: {0}; this is a defect: report it")]
    Broker(#[from] rdkafka::error::KafkaError),
    /// The trades cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The trades cannot be fed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The processor ended.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The processor ended without an error before it was told to.
    #[error("the processor ended early; the log above says why")]
    Ended,
    /// The processor did not get on.
    #[error(
        "the processor did not reach {wanted} records within {seconds} s, it stands at {found}; the log above says why"
    )]
    Stuck {
        /// Records fed.
        wanted: i64,
        /// Records committed.
        found: i64,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The backtest of the same trades ended early.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// The backtest of the same trades gave other rows.
    #[error("revision {0}: a backtest of the same trades gave other rows than the run; this is a defect: report it")]
    Differs(String),
    /// The page cannot be written.
    #[error(transparent)]
    Page(#[from] CommandError),
    /// The results cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The projection cannot be read.
    #[error(transparent)]
    Latest(crate::latest::LatestError),
    /// The results cannot be read back.
    #[error("the results cannot be read: {0}")]
    Figures(#[from] sqlx::Error),
}
