//! The command line. Installed as `kubectl-assay` it is `kubectl assay …`.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Take the finalizers off all pipelines, or delete them; `helm uninstall` calls it.
    Uninstall(UninstallArgs),
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Image of processors where a pipeline names none.
    #[arg(long, env = "ASSAY_PROCESSOR_IMAGE", default_value = concat!("ghcr.io/assay-dev/assay:", env!("CARGO_PKG_VERSION")))]
    pub processor_image: String,
    /// Pipelines that may move to a new engine at a time after a release that changes results.
    #[arg(long, default_value_t = 5, value_name = "N")]
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
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "ASSAY_ADMIN", default_value = "0.0.0.0:8080")]
    pub admin: SocketAddr,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct PlanArgs {
    /// Manifest to plan.
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
    /// Delete every pipeline and wait until it is gone, while the operator still runs.
    #[arg(long)]
    pub delete_pipelines: bool,
    /// How long to wait, such as 10m.
    #[arg(long, default_value = "10m")]
    pub timeout: String,
    /// Namespace; may be given several times. Without it, all of them.
    #[arg(long = "namespace", short = 'n', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
}
