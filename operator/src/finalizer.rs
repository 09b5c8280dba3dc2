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

/// Puts it on; gives whether the pipeline was there to put it on.
///
/// # Errors
/// A conflict where the pipeline was changed meanwhile; whatever else the API server refuses.
pub async fn put_on(client: &Client, metadata: &ObjectMeta) -> kube::Result<bool> {
    write(client, metadata, with(metadata)).await
}

/// Takes it off, and nobody else's; a pipeline that is gone is fine.
///
/// # Errors
/// A conflict where the pipeline was changed meanwhile; whatever else the API server refuses.
pub async fn take_off(client: &Client, metadata: &ObjectMeta) -> kube::Result<()> {
    write(client, metadata, without(metadata)).await.map(drop)
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

/// Gives whether the pipeline was there.
async fn write(client: &Client, metadata: &ObjectMeta, patch: Value) -> kube::Result<bool> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let pipelines: Api<StrategyPipeline> = Api::namespaced(client.clone(), namespace);
    match pipelines
        .patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    const THEIRS: &str = "example.org/theirs";

    fn metadata(finalizers: &[&str]) -> ObjectMeta {
        ObjectMeta {
            name: Some("majors".to_owned()),
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

    /// An API server that gives every request the same answer.
    fn answering(code: u16, body: &Value) -> Client {
        let body = body.to_string();
        let answer = move |_: Request<Body>| {
            let response = Response::builder()
                .status(code)
                .body(Body::from(body.clone().into_bytes()));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        };
        Client::new(service_fn(answer), "trading")
    }

    #[tokio::test]
    async fn a_pipeline_that_is_gone_has_nothing_taken_off_and_nothing_put_on() {
        let gone = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "", "code": 404});
        let client = answering(404, &gone);
        assert!(!put_on(&client, &metadata(&[])).await.unwrap());
        take_off(&client, &metadata(&[FINALIZER])).await.unwrap();
    }

    #[tokio::test]
    async fn a_pipeline_that_was_changed_meanwhile_is_a_conflict() {
        let changed = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "message": "", "code": 409});
        let refused = put_on(&answering(409, &changed), &metadata(&[])).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
    }
}
