//! One module a subcommand. `run` writes; `plan` and `explain` only read; the rest write annotations or finalizers.

pub mod explain;
pub mod plan;
pub mod revision;
pub mod run;
pub mod uninstall;

use anyhow::Context as _;
use kube::Client;

use crate::args::PipelineArgs;

impl PipelineArgs {
    /// The namespace that is meant.
    pub(crate) fn namespace<'a>(&'a self, client: &'a Client) -> &'a str {
        self.namespace.as_deref().unwrap_or_else(|| client.default_namespace())
    }
}

/// The API server that the environment names.
///
/// # Errors
/// Where it names none.
pub async fn connect() -> anyhow::Result<Client> {
    Client::try_default()
        .await
        .context("no way to the API server; set KUBECONFIG, or run inside a cluster")
}
