//! The command line of `assay`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::backtest::BacktestArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::feed::FeedArgs;
use crate::commands::migrate::MigrateArgs;

/// Live market trades into probabilities that are checked against what happened next.
#[derive(Debug, Parser)]
#[command(name = "assay", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The arguments of this process; ends it with a message where they are wrong. An empty variable counts as not set.
    #[must_use]
    pub fn of_this_process() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(None::<&'static str>),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a processor of a pipeline until SIGTERM.
    ///
    /// Credentials come from the environment or from files, never from the command line: `ASSAY_POSTGRES_URL`,
    /// `ASSAY_REDIS_URL` and, where spec.kafka.security asks for a login, `ASSAY_KAFKA_USERNAME` and
    /// `ASSAY_KAFKA_PASSWORD`; each also as `…_FILE`, the path of a file that holds it. Certificates in PEM
    /// likewise: `ASSAY_KAFKA_CA`, `ASSAY_KAFKA_CERTIFICATE` and `ASSAY_KAFKA_PRIVATE_KEY`, and the same three for
    /// `ASSAY_POSTGRES_…` and `ASSAY_REDIS_…`. `ASSAY_LOG` sets the level of the log, such as `info` or
    /// `warn,assay_processor=debug`.
    Run(RunArgs),
    /// Bring the schema of the result store up to date.
    Migrate(MigrateArgs),
    /// Feed recorded files, messages of a venue or a synthetic series into the source topic.
    Feed(Box<FeedArgs>),
    /// Apply recorded trades without a server, and write the rows and their figures into a folder.
    Backtest(BacktestArgs),
    /// Show all of it in this process: recorded and synthetic trades, an embedded broker, SQLite, memory.
    Demo(DemoArgs),
}

/// Arguments of `assay run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Manifest of the StrategyPipeline, YAML or JSON.
    #[arg(long, env = "ASSAY_PIPELINE_FILE", value_name = "FILE")]
    pub pipeline: PathBuf,
    /// The revision to work for, as the operator decided it (revision.json); without it this process decides.
    #[arg(long, env = "ASSAY_REVISION_FILE", value_name = "FILE")]
    pub revision: Option<PathBuf>,
    /// Ordinal of the revision's instance where no operator decides; raise it to build the results anew from the log.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub instance: u32,
    /// Address of /livez, /readyz, /metrics and /status.
    #[arg(long, env = "ASSAY_ADMIN", default_value = "127.0.0.1:9464")]
    pub admin: SocketAddr,
    /// Threads that decode and step; more only where a core is idle.
    #[arg(long, env = "ASSAY_WORKERS", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub workers: usize,
    /// Bytes of log between two snapshots of a partition: bounds what a recovery replays.
    #[arg(long, env = "ASSAY_SNAPSHOT_BYTES", default_value_t = 64 * 1024 * 1024, value_name = "BYTES")]
    pub snapshot_bytes: u64,
    /// Seconds that a shutdown or a revoked partition may take to finish; the next owner replays the rest.
    #[arg(long, env = "ASSAY_DRAIN_SECONDS", default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub drain_budget: Duration,
    /// Seconds that Kafka, Postgres or Redis may be away at the start and during a take-over.
    #[arg(long, env = "ASSAY_PATIENCE_SECONDS", default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub patience: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: u64 = text.parse().map_err(|_| "give whole seconds".to_owned())?;
    Ok(Duration::from_secs(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_processor_has_a_worker() {
        let line = ["assay", "run", "--pipeline", "p.yaml", "--workers", "0"];
        let error = Cli::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains("--workers"), "{error}");
    }

    #[test]
    fn run_needs_a_manifest() {
        let error = Cli::try_parse_from(["assay", "run"]).unwrap_err().to_string();
        assert!(error.contains("--pipeline"), "{error}");
    }
}
