//! `uninstall`: what `helm uninstall` does to the pipelines.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use assay_crds::{DurationText, StrategyPipeline};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::args::UninstallArgs;
use crate::names::FINALIZER;

const PAUSE: Duration = Duration::from_secs(1);

/// Takes finalizers off, or deletes all pipelines and waits until they are gone.
///
/// # Errors
/// Where the API server refuses, or the time is over.
pub async fn uninstall(args: &UninstallArgs) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let limit = Duration::from_micros(DurationText(args.timeout.clone()).micros()?.unsigned_abs());
    let apis: Vec<Api<StrategyPipeline>> = if args.namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        args.namespaces
            .iter()
            .map(|namespace| Api::namespaced(client.clone(), namespace))
            .collect()
    };
    let mut touched = 0;
    for pipeline in list(&apis).await? {
        touched += 1;
        let own: Api<StrategyPipeline> = Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
        if args.delete_pipelines {
            own.delete(&pipeline.name_any(), &DeleteParams::default()).await?;
        } else {
            release(&own, &pipeline).await?;
        }
    }
    if args.delete_pipelines {
        until_gone(&apis, limit).await?;
        return Ok(format!("{touched} pipelines deleted\n"));
    }
    Ok(format!(
        "{touched} pipelines released; their processors and topics go on\n"
    ))
}

async fn list(apis: &[Api<StrategyPipeline>]) -> anyhow::Result<Vec<kube::core::PartialObjectMeta<StrategyPipeline>>> {
    let mut pipelines = Vec::new();
    for api in apis {
        pipelines.extend(api.list_metadata(&ListParams::default()).await?);
    }
    Ok(pipelines)
}

async fn release(api: &Api<StrategyPipeline>, pipeline: &impl ResourceExt) -> anyhow::Result<()> {
    let others: Vec<&String> = pipeline.finalizers().iter().filter(|name| *name != FINALIZER).collect();
    let patch = Patch::Merge(json!({"metadata": {"finalizers": others}}));
    api.patch_metadata(&pipeline.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

async fn until_gone(apis: &[Api<StrategyPipeline>], limit: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let left = list(apis).await?;
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > limit {
            let names: Vec<String> = left
                .iter()
                .map(|p| format!("{}/{}", p.namespace().unwrap_or_default(), p.name_any()))
                .collect();
            bail!(
                "still there after {limit:?}: {}; look with kubectl assay explain NAME",
                names.join(", ")
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}
