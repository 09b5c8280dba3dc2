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

/// An error and its causes in one line. Many say themselves what their cause says: that is told once.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_repeats_of_its_cause_is_told_once() {
        let refused = anyhow::anyhow!("connection refused");
        let error = refused.context("connect: connection refused").context("no answer");
        assert_eq!(told(&error), "no answer: connect: connection refused");
    }
}
