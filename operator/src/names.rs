//! Names and labels of everything the operator owns. The only place where they are put together.

use std::collections::BTreeMap;

use assay_crds::StrategyPipeline;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

/// Field manager of every apply.
pub const FIELD_MANAGER: &str = "assay-operator";
/// Label that ties an object to its pipeline.
pub const PIPELINE_LABEL: &str = "assay.dev/pipeline";
/// Label that ties an object to its revision.
pub const REVISION_LABEL: &str = "assay.dev/revision";
/// Label that every object of ours carries.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Annotation: `true` leaves the pipeline alone.
pub const PAUSED: &str = "assay.dev/paused";
/// Annotation: the revision that somebody wants live; removed once it is.
pub const PROMOTE: &str = "assay.dev/promote";
/// Annotation: the revision that somebody refused.
pub const REJECT: &str = "assay.dev/reject";
/// Annotation: hash of what the Secrets hold, on the pods.
pub const SECRETS_HASH: &str = "assay.dev/secrets";

/// A pipeline's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid: the key of its rows.
    pub uid: String,
}

impl PipelineKey {
    /// Of an object as the API server gave it.
    #[must_use]
    pub fn of(pipeline: &StrategyPipeline) -> Self {
        Self {
            namespace: pipeline.namespace().unwrap_or_default(),
            name: pipeline.name_any(),
            uid: pipeline.uid().unwrap_or_default(),
        }
    }
}

/// Name of what belongs to one revision.
#[must_use]
pub fn revision_name(pipeline: &str, revision: &str) -> String {
    format!("{pipeline}-{revision}")
}

/// Consumer group of a revision.
#[must_use]
pub fn consumer_group(pipeline: &StrategyPipeline, revision: &str) -> String {
    let key = PipelineKey::of(pipeline);
    pipeline.spec.kafka.consumer_group(&key.namespace, &key.name, revision)
}

/// Labels of everything of a pipeline.
#[must_use]
pub fn labels(pipeline: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "assay-processor"),
        ("app.kubernetes.io/instance", pipeline),
        (MANAGED_BY_LABEL, "assay-operator"),
        (PIPELINE_LABEL, pipeline),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Labels of everything of a revision.
#[must_use]
pub fn revision_labels(pipeline: &str, revision: &str) -> BTreeMap<String, String> {
    let mut labels = labels(pipeline);
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    labels
}

/// What a Deployment and its readers select pods by.
#[must_use]
pub fn selector(pipeline: &str, revision: Option<&str>) -> BTreeMap<String, String> {
    let revision = revision.map(|revision| (REVISION_LABEL.to_owned(), revision.to_owned()));
    std::iter::once((PIPELINE_LABEL.to_owned(), pipeline.to_owned()))
        .chain(revision)
        .collect()
}

/// Metadata of an owned object.
#[must_use]
pub fn metadata(pipeline: &StrategyPipeline, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    let owner: Option<OwnerReference> = pipeline.controller_owner_ref(&());
    ObjectMeta {
        name: Some(name),
        namespace: pipeline.namespace(),
        labels: Some(labels),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}
