//! What `helm uninstall` does to the pipelines: it lets go of them, or deletes them and waits until each has drained.
//! Runs as a job of the chart, never inside the operator.

use std::time::Duration;

use assay_crds::StrategyPipeline;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::args::UninstallArgs;
use crate::finalizer;

/// Only metadata: a pipeline that this release cannot read is let go like any other.
type Pipeline = PartialObjectMeta<StrategyPipeline>;

const PAUSE: Duration = Duration::from_millis(500);

/// Why an uninstall could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The API server refused or did not answer.
    #[error("cannot {action}: {source}; check the job's role and run `helm uninstall` again")]
    Api {
        /// What was tried.
        action: String,
        /// Cause.
        source: kube::Error,
    },
    /// It takes longer than allowed.
    #[error("{what} after {limit:?}: {left}; look at their events, or raise uninstall.timeout")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
        /// Names.
        left: String,
    },
}

/// Lets go of every pipeline, or deletes it.
///
/// # Errors
/// The API server refuses, or something does not go in time.
pub async fn uninstall(client: &Client, args: &UninstallArgs) -> Result<(), UninstallError> {
    if let Some(labels) = &args.after_pods {
        wait_for_pods_to_go(client, labels, args.timeout).await?;
    }
    for pipelines in apis(client, &args.namespaces) {
        if args.delete_pipelines {
            delete_all(client, &pipelines, args.timeout).await?;
        } else {
            release_all(client, &pipelines).await?;
        }
    }
    Ok(())
}

fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<StrategyPipeline>> {
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    namespaces
        .iter()
        .map(|namespace| Api::namespaced(client.clone(), namespace))
        .collect()
}

/// A list over all namespaces finds the objects; a write has to name theirs.
fn api_of(client: &Client, pipeline: &Pipeline) -> Api<StrategyPipeline> {
    Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default())
}

async fn list(pipelines: &Api<StrategyPipeline>) -> Result<Vec<Pipeline>, UninstallError> {
    let found = pipelines.list_metadata(&ListParams::default()).await;
    Ok(found
        .map_err(|source| UninstallError::Api {
            action: "list the pipelines".to_owned(),
            source,
        })?
        .items)
}

fn full_name(pipeline: &Pipeline) -> String {
    format!("{}/{}", pipeline.namespace().unwrap_or_default(), pipeline.name_any())
}

/// Removes our finalizer and nobody else's. A pipeline that somebody changed meanwhile is read again.
async fn release_all(client: &Client, pipelines: &Api<StrategyPipeline>) -> Result<(), UninstallError> {
    loop {
        let mut conflicts = 0;
        for pipeline in list(pipelines)
            .await?
            .iter()
            .filter(|one| finalizer::is_on(&one.metadata))
        {
            match finalizer::take_off(client, &pipeline.metadata).await {
                Ok(()) => info!(pipeline = full_name(pipeline), "released"),
                Err(kube::Error::Api(status)) if status.code == 409 => conflicts += 1,
                Err(source) => {
                    return Err(UninstallError::Api {
                        action: format!("release {}", full_name(pipeline)),
                        source,
                    });
                }
            }
        }
        if conflicts == 0 {
            return Ok(());
        }
    }
}

async fn delete_all(client: &Client, pipelines: &Api<StrategyPipeline>, limit: Duration) -> Result<(), UninstallError> {
    for pipeline in list(pipelines).await? {
        match api_of(client, &pipeline)
            .delete(&pipeline.name_any(), &DeleteParams::default())
            .await
        {
            Ok(_) => info!(pipeline = full_name(&pipeline), "deleting"),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                return Err(UninstallError::Api {
                    action: format!("delete {}", full_name(&pipeline)),
                    source,
                });
            }
        }
    }
    let deadline = Instant::now() + limit;
    loop {
        let left: Vec<_> = list(pipelines).await?.iter().map(full_name).collect();
        if left.is_empty() {
            return Ok(());
        }
        pause_until(deadline, "pipelines are still draining", limit, &left).await?;
    }
}

async fn wait_for_pods_to_go(client: &Client, labels: &str, limit: Duration) -> Result<(), UninstallError> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let deadline = Instant::now() + limit;
    loop {
        let found = pods.list(&ListParams::default().labels(labels)).await;
        let found = found.map_err(|source| UninstallError::Api {
            action: "list the operator's pods".to_owned(),
            source,
        })?;
        let left: Vec<_> = found.items.iter().map(ResourceExt::name_any).collect();
        if left.is_empty() {
            return Ok(());
        }
        pause_until(deadline, "the operator is still there", limit, &left).await?;
    }
}

async fn pause_until(
    deadline: Instant,
    what: &'static str,
    limit: Duration,
    left: &[String],
) -> Result<(), UninstallError> {
    if Instant::now() >= deadline {
        return Err(UninstallError::Timeout {
            what,
            limit,
            left: left.join(", "),
        });
    }
    sleep(PAUSE).await;
    Ok(())
}
