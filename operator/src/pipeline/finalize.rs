//! Deletion: tries within a bound to remove what lies outside the cluster, names what it left behind, and lets go. It never wedges.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_crds::StrategyPipeline;
use assay_crds::spec::{DeletionPolicy, Management};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::dereference::{Found, dereference};
use super::error::PassError;
use crate::context::Context;
use crate::names::{self, FIELD_MANAGER, FINALIZER, PipelineKey};
use crate::observe::Notice;
use crate::topics::wishes;

/// How long after the deletion was asked for the operator keeps trying, seconds.
const BOUND_SECONDS: i64 = 45;

/// Whether the pipeline carries our finalizer.
#[must_use]
pub fn is_held(pipeline: &StrategyPipeline) -> bool {
    pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Puts our finalizer on.
///
/// # Errors
/// Where the API server refuses.
pub async fn hold(context: &Context, pipeline: &StrategyPipeline) -> Result<(), PassError> {
    let mut finalizers = pipeline.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    write_finalizers(context, pipeline, &finalizers).await
}

async fn write_finalizers(
    context: &Context,
    pipeline: &StrategyPipeline,
    finalizers: &[String],
) -> Result<(), PassError> {
    let key = PipelineKey::of(pipeline);
    let api: Api<StrategyPipeline> = Api::namespaced(context.client.clone(), &key.namespace);
    // The version makes the write fail where somebody changed the list meanwhile.
    let metadata = json!({"finalizers": finalizers, "resourceVersion": pipeline.resource_version()});
    let patch = Patch::Merge(json!({"metadata": metadata}));
    match api.patch_metadata(&key.name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(PassError::write("the finalizer")(error)),
    }
}

/// One try at a deletion; gives whether the pipeline was let go.
///
/// # Errors
/// Where the API server refuses.
pub async fn finalize(context: &Context, pipeline: Arc<StrategyPipeline>) -> Result<bool, PassError> {
    stop_processors(context, &PipelineKey::of(&pipeline)).await?;
    let found = dereference(context, Arc::clone(&pipeline)).await?;
    let left = clean_up(&found).await;
    let asked = pipeline
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(0, |time| time.0.as_second());
    let is_over = found.now_ms / 1000 - asked > BOUND_SECONDS;
    if !left.is_empty() && !is_over {
        return Ok(false);
    }
    if !left.is_empty() {
        tell_what_is_left(context, &found, &left).await;
    }
    let others: Vec<String> = pipeline
        .finalizers()
        .iter()
        .filter(|name| *name != FINALIZER)
        .cloned()
        .collect();
    write_finalizers(context, &pipeline, &others).await?;
    context.observer.forget(&found.key.namespace, &found.key.name);
    context.forget(&found.key.uid);
    Ok(true)
}

/// Groups can be deleted only when they are empty, so processors go first.
async fn stop_processors(context: &Context, key: &PipelineKey) -> Result<(), PassError> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &key.namespace);
    let ours = ListParams::default().labels(&format!("{}={}", names::PIPELINE_LABEL, key.name));
    api.delete_collection(&DeleteParams::background(), &ours)
        .await
        .map_err(PassError::write("the deletion of Deployments"))?;
    Ok(())
}

/// Deletes what is to go; what could not be deleted is named with the reason.
async fn clean_up(found: &Found) -> BTreeMap<String, String> {
    let mut left = BTreeMap::new();
    let kafka = match &found.kafka {
        Ok(kafka) => kafka,
        Err(error) => {
            left.insert("kafka".to_owned(), error.to_string());
            return left;
        }
    };
    for topic in topics_to_delete(found) {
        if let Err(error) = kafka.delete_topic(&topic).await {
            left.insert(format!("topic.{topic}"), error.to_string());
        }
    }
    for group in groups(found) {
        if let Err(error) = kafka.delete_groups(&[&group]).await {
            left.insert(format!("group.{group}"), error.to_string());
        }
    }
    left
}

/// Managed topics with policy Delete that no other pipeline names.
fn topics_to_delete(found: &Found) -> Vec<String> {
    let shared = |name: &str| found.other_claims.iter().any(|claim| claim.wish.name == name);
    let doomed = wishes(&found.pipeline.spec).into_iter().filter(|wish| {
        wish.management == Management::Managed && wish.deletion == DeletionPolicy::Delete && !shared(&wish.name)
    });
    doomed.map(|wish| wish.name).collect()
}

/// Groups of every revision that is known, from the store, and where that is away from status.
fn groups(found: &Found) -> Vec<String> {
    let stored = found
        .view
        .as_ref()
        .ok()
        .into_iter()
        .flat_map(|view| view.revisions.keys().cloned());
    let status = found
        .pipeline
        .status
        .iter()
        .flat_map(|status| status.revisions.iter().map(|revision| revision.name.clone()));
    let mut revisions: Vec<String> = stored.chain(status).chain(found.instances.keys().cloned()).collect();
    revisions.sort();
    revisions.dedup();
    revisions
        .iter()
        .map(|revision| names::consumer_group(&found.pipeline, revision))
        .collect()
}

/// An event on the object, and a ConfigMap in the operator's namespace that outlives it.
async fn tell_what_is_left(context: &Context, found: &Found, left: &BTreeMap<String, String>) {
    let list = left
        .iter()
        .map(|(what, why)| format!("{what}: {why}"))
        .collect::<Vec<_>>()
        .join("; ");
    let notice = Notice {
        warning: true,
        reason: "LeftBehind".to_owned(),
        message: format!("deleted without cleaning up: {list}"),
        action: "Delete".to_owned(),
    };
    context.observer.tell(found.pipeline.object_ref(&()), notice);
    let name = format!("assay-left-behind-{}", found.key.uid);
    let mut data: BTreeMap<String, String> = left
        .iter()
        .map(|(what, why)| (config_map_key(what), why.clone()))
        .collect();
    data.insert(
        "pipeline".to_owned(),
        format!("{}/{}", found.key.namespace, found.key.name),
    );
    data.insert(
        "brokers".to_owned(),
        found.pipeline.spec.kafka.bootstrap_servers.clone(),
    );
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    if let Err(error) = api
        .patch(
            &name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&config_map),
        )
        .await
    {
        // Letting go matters more than the note: the event and this line tell the same.
        tracing::error!(%error, left = %list, "what was left behind could not be written down");
    }
}

/// Keys of a ConfigMap hold letters, digits, `.`, `_` and `-` only, as names of topics and groups do.
fn config_map_key(what: &str) -> String {
    what.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .take(253)
        .collect()
}
