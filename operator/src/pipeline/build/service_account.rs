//! The identity of the pods, where the spec names no existing one. It has no rights and mounts no token.

use assay_crds::StrategyPipeline;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::shared_name;
use crate::names;

pub(super) fn build(pipeline: &StrategyPipeline) -> Option<ServiceAccount> {
    let spec = &pipeline.spec.processor.pod.service_account;
    if spec.name.is_some() {
        return None;
    }
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    let mut metadata = names::metadata(pipeline, shared_name(pipeline), names::labels(name));
    metadata.annotations = (!spec.annotations.is_empty()).then(|| spec.annotations.clone());
    Some(ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// The account that the pods use.
pub(super) fn name(pipeline: &StrategyPipeline) -> String {
    pipeline
        .spec
        .processor
        .pod
        .service_account
        .name
        .clone()
        .unwrap_or_else(|| shared_name(pipeline))
}
