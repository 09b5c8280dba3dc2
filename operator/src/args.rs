//! The command line. Installed as `kubectl-assay` it is `kubectl assay …`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use assay_crds::duration::DurationText;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

/// Turns StrategyPipelines into topics, processors and a status that explains itself.
#[derive(Debug, Parser)]
#[command(name = "assay-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile until stopped or until the lease is lost.
    Run(RunArgs),
    /// Print the custom resource definition.
    Crds,
    /// Print what applying a manifest would change and cost; touches nothing.
    Plan(PlanArgs),
    /// Say in sentences how a pipeline is and what to do.
    Explain(PipelineArgs),
    /// Make the candidate live, or the revision that is named, once it has caught up.
    Promote(RevisionArgs),
    /// Stop the candidate, or the revision that is named, and keep the live one.
    Reject(RevisionArgs),
    /// Go back to the revision that was live before, or to the one that is named.
    Rollback(RevisionArgs),
    /// Let go of all pipelines, or delete them and wait; `helm uninstall` calls it.
    Uninstall(UninstallArgs),
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Image of processors where a pipeline names none.
    #[arg(long, env = "ASSAY_PROCESSOR_IMAGE", default_value = concat!("ghcr.io/assay-dev/assay:", env!("CARGO_PKG_VERSION")))]
    pub processor_image: String,
    /// Pipelines that may move to a new engine at a time after a release that changes results.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_concurrent_upgrades: usize,
    /// Namespace to watch; may be given several times. Without it, all of them.
    #[arg(long = "namespace", short = 'n', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Label of this cluster in the result store, where several clusters share one.
    #[arg(long, env = "ASSAY_CLUSTER", default_value = "default")]
    pub cluster: String,
    /// Namespace of the operator: its lease, and what deletions left behind.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default", value_name = "NAMESPACE")]
    pub own_namespace: String,
    /// Name of this instance in the lease and in events.
    #[arg(long, env = "POD_NAME", default_value = "assay-operator")]
    pub identity: String,
    /// Address of /livez, /readyz, /metrics and, from this machine only, /log-level.
    #[arg(long, env = "ASSAY_ADMIN", default_value = "0.0.0.0:8080")]
    pub admin: SocketAddr,
    /// How often a pipeline that is as wanted is looked at again, so that drift heals and figures move.
    #[arg(long, default_value = "30s", value_parser = positive, value_name = "DURATION")]
    pub resync: Duration,
    /// How long a Secret that was read is believed; a changed one is seen at the next look after that, so within a minute.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub secrets_age: Duration,
    /// How long the deletion of a pipeline tries to clean up outside the cluster before it lets go.
    #[arg(long, default_value = "45s", value_parser = duration, value_name = "DURATION")]
    pub cleanup_limit: Duration,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct PlanArgs {
    /// Manifest to plan; `-` is standard input.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Plan every pipeline as it stands: what this release of the operator would change.
    #[arg(long)]
    pub all: bool,
}

/// A pipeline.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// Name of the pipeline.
    pub name: String,
    /// Its namespace; without it, that of the current context.
    #[arg(long, short = 'n')]
    pub namespace: Option<String>,
}

/// A pipeline and one of its revisions.
#[derive(Debug, Clone, Args)]
pub struct RevisionArgs {
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Which revision; see status.revisions.
    #[arg(long)]
    pub revision: Option<String>,
}

/// Arguments of `uninstall`.
#[derive(Debug, Clone, Args)]
pub struct UninstallArgs {
    /// Namespace that was watched; may be given several times. Without it, all of them.
    #[arg(long = "namespace", short = 'n', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Delete every pipeline and wait until the operator has drained each; otherwise their finalizers are removed.
    #[arg(long)]
    pub delete_pipelines: bool,
    /// Labels of the operator's pods in this namespace: they must be gone first, or they would put the finalizers back.
    #[arg(long, value_name = "LABELS", conflicts_with = "delete_pipelines")]
    pub after_pods: Option<String>,
    /// How long to wait for pipelines or pods to go.
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}

/// A duration as in manifests.
fn duration(text: &str) -> Result<Duration, String> {
    let micros = DurationText(text.to_owned())
        .micros()
        .map_err(|error| error.to_string())?;
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// One that is more than nothing.
fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("it must be longer than nothing, such as 30s".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn what_would_do_nothing_or_without_pause_is_refused() {
        for wrong in [["--resync", "0s"], ["--max-concurrent-upgrades", "0"]] {
            let line = ["assay-operator", "run"].iter().chain(&wrong);
            let error = Cli::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains(wrong[0]), "{error}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_duration_as_in_manifests() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err_and(|error| error.contains("soon")));
    }
}
