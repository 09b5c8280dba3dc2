//! From decisions to Kubernetes objects: pure, one kind a file, everything in one struct.

mod config_map;
mod deployment;
mod mounts;
mod network_policy;
mod pod_disruption_budget;
mod service;
mod service_account;

pub(crate) use config_map::REVISION_KEY;
pub(crate) use deployment::PROCESSOR;

use assay_crds::{RevisionInstance, StrategyPipeline};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

/// Port of health, metrics and status.
pub const ADMIN_PORT: i32 = 9464;

/// What the objects are made from.
#[derive(Debug, Clone)]
pub struct Blueprint<'a> {
    /// The pipeline.
    pub pipeline: &'a StrategyPipeline,
    /// Revisions that run.
    pub revisions: Vec<RevisionBlueprint>,
    /// Hash of the Secrets' versions: another one rolls the pods.
    pub secrets: &'a str,
    /// Image where the spec names none.
    pub default_image: &'a str,
}

/// One revision that runs.
#[derive(Debug, Clone)]
pub struct RevisionBlueprint {
    /// What its processors are told.
    pub instance: RevisionInstance,
    /// Pods.
    pub replicas: i32,
    /// The image that its pods must keep; `None` where any of its engine will do.
    pub image: Option<String>,
}

/// Everything that a pipeline owns in the cluster.
#[derive(Debug, Clone)]
pub struct Resources {
    /// Identity of the pods, where the spec names none.
    pub service_account: Option<ServiceAccount>,
    /// One a revision; immutable.
    pub config_maps: Vec<ConfigMap>,
    /// One a revision.
    pub deployments: Vec<Deployment>,
    /// Drains of nodes take one pod at a time.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// Only the admin port may be reached.
    pub network_policy: NetworkPolicy,
    /// Where metrics are found.
    pub service: Service,
}

/// A settings text of the store that this build cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored settings of revision {revision} cannot be read: {reason}; promote another revision")]
pub struct BuildError {
    /// Revision.
    pub revision: String,
    /// Why.
    pub reason: String,
}

/// Builds everything.
///
/// # Errors
/// Where a revision's stored settings cannot be read.
pub fn build(blueprint: &Blueprint<'_>) -> Result<Resources, BuildError> {
    let Blueprint {
        pipeline,
        revisions,
        secrets: _,
        default_image: _,
    } = blueprint;
    let mut config_maps = Vec::new();
    let mut deployments = Vec::new();
    for revision in revisions {
        let config_map = config_map::build(pipeline, &revision.instance)?;
        deployments.push(deployment::build(
            blueprint,
            revision,
            config_map.metadata.name.as_deref().unwrap_or_default(),
        ));
        config_maps.push(config_map);
    }
    Ok(Resources {
        service_account: service_account::build(pipeline),
        config_maps,
        deployments,
        pod_disruption_budget: pod_disruption_budget::build(pipeline),
        network_policy: network_policy::build(pipeline),
        service: service::build(pipeline),
    })
}

/// Name of what a pipeline owns once.
fn shared_name(pipeline: &StrategyPipeline) -> String {
    format!("{}-processor", pipeline.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests;
