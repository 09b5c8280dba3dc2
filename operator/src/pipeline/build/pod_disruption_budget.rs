//! Drains of nodes take one processor at a time: each one that goes moves partitions, and two rebalances are dearer than one.

use assay_crds::StrategyPipeline;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::shared_name;
use crate::names;

pub(super) fn build(pipeline: &StrategyPipeline) -> PodDisruptionBudget {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    PodDisruptionBudget {
        metadata: names::metadata(pipeline, shared_name(pipeline), names::labels(name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(names::selector(name, None)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
