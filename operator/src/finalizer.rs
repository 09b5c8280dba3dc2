//! Our finalizer on a pipeline: what it made outside the cluster goes before it does. Needs nothing but metadata.

use assay_crds::StrategyPipeline;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// The finalizer's name.
const FINALIZER: &str = "assay.dev/pipeline";

/// Whether the pipeline carries it.
#[must_use]
pub fn is_on(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// Puts it on.
///
/// # Errors
/// A conflict where the pipeline was changed meanwhile; whatever else the API server refuses.
pub async fn put_on(client: &Client, metadata: &ObjectMeta) -> kube::Result<()> {
    write(client, metadata, with(metadata)).await
}

/// Takes it off, and nobody else's; a pipeline that is gone is fine.
///
/// # Errors
/// A conflict where the pipeline was changed meanwhile; whatever else the API server refuses.
pub async fn take_off(client: &Client, metadata: &ObjectMeta) -> kube::Result<()> {
    write(client, metadata, without(metadata)).await
}

fn with(metadata: &ObjectMeta) -> Value {
    let others = metadata.finalizers.iter().flatten().map(String::as_str);
    patch(metadata, &others.chain([FINALIZER]).collect::<Vec<_>>())
}

fn without(metadata: &ObjectMeta) -> Value {
    let all = metadata.finalizers.iter().flatten().map(String::as_str);
    patch(metadata, &all.filter(|name| *name != FINALIZER).collect::<Vec<_>>())
}

/// The version makes the API server refuse where the list is no longer the one that was read.
fn patch(metadata: &ObjectMeta, finalizers: &[&str]) -> Value {
    json!({"metadata": {"finalizers": finalizers, "resourceVersion": metadata.resource_version}})
}

async fn write(client: &Client, metadata: &ObjectMeta, patch: Value) -> kube::Result<()> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let pipelines: Api<StrategyPipeline> = Api::namespaced(client.clone(), namespace);
    match pipelines
        .patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "example.org/theirs";

    fn metadata(finalizers: &[&str]) -> ObjectMeta {
        ObjectMeta {
            resource_version: Some("7".to_owned()),
            finalizers: Some(finalizers.iter().map(|&name| name.to_owned()).collect()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn it_is_told_from_those_of_others() {
        assert!(is_on(&metadata(&[THEIRS, FINALIZER])));
        assert!(!is_on(&metadata(&[THEIRS])));
    }

    #[test]
    fn those_of_others_stay_whatever_becomes_of_it() {
        let (before, after) = (metadata(&[THEIRS]), metadata(&[THEIRS, FINALIZER]));
        assert_eq!(with(&before), patch(&before, &[THEIRS, FINALIZER]));
        assert_eq!(without(&after), patch(&after, &[THEIRS]));
    }

    #[test]
    fn a_write_holds_the_version_that_was_read() {
        assert_eq!(with(&metadata(&[]))["metadata"]["resourceVersion"], "7");
    }
}
