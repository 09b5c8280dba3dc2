//! Deletion: tries within a bound to remove what lies outside the cluster, names what it left behind, and lets go. It never wedges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_crds::StrategyPipeline;
use assay_crds::spec::{DeletionPolicy, Management};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Resource};

use super::apply::delete_if_there;
use super::dereference::{Found, dereference};
use super::error::PassError;
use crate::context::Context;
use crate::crash_points::crash_point;
use crate::finalizer;
use crate::names::{self, FIELD_MANAGER, PipelineKey};
use crate::observe::Notice;
use crate::topics::wishes;

/// How long one try at the brokers and the store may take: less than a pass, so that the bound is always looked at.
const TRY_LIMIT: Duration = Duration::from_secs(30);

/// What could not be cleaned up, with the reason.
type Left = BTreeMap<String, String>;

/// One try at a deletion; gives whether the pipeline was let go.
///
/// # Errors
/// Where the API server refuses.
pub(super) async fn finalize(context: &Context, pipeline: Arc<StrategyPipeline>) -> Result<bool, PassError> {
    let key = PipelineKey::of(&pipeline);
    let is_over = is_over(context, &pipeline.metadata);
    let attempt = async {
        stop_processors(context, &key).await?;
        clean_up(context, Arc::clone(&pipeline)).await
    };
    let left = match tokio::time::timeout(TRY_LIMIT, attempt).await {
        Ok(Ok(left)) => left,
        // Roles inside a namespace that is being deleted may be gone already.
        Ok(Err(error)) if is_over => Left::from([("everything".to_owned(), error.to_string())]),
        Ok(Err(error)) => return Err(error),
        Err(_) => Left::from([(
            "everything".to_owned(),
            format!("no answer in {} s", TRY_LIMIT.as_secs()),
        )]),
    };
    if !left.is_empty() && !is_over {
        tracing::info!(pipeline = key.name, ?left, "not cleaned up yet; trying again");
        return Ok(false);
    }
    if !left.is_empty() {
        tell_what_is_left(context, &pipeline, &left).await;
    }
    crash_point!("finalize.before_let_go");
    let_go(context, &key, &pipeline.metadata).await?;
    Ok(true)
}

/// Whether the deletion was asked for so long ago that letting go matters more than cleaning up.
fn is_over(context: &Context, metadata: &ObjectMeta) -> bool {
    let asked = metadata.deletion_timestamp.as_ref();
    let since = asked.map_or(0, |time| jiff::Timestamp::now().as_second() - time.0.as_second());
    u64::try_from(since).is_ok_and(|since| since >= context.settings.cleanup_limit.as_secs())
}

/// Groups can be deleted only when they are empty, so processors go first.
async fn stop_processors(context: &Context, key: &PipelineKey) -> Result<(), PassError> {
    context.children_listed().await;
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &key.namespace);
    for name in context.deployments.of(&key.namespace, &key.name).keys() {
        delete_if_there(&api, name).await?;
    }
    Ok(())
}

/// Deletes what is to go outside the cluster.
async fn clean_up(context: &Context, pipeline: Arc<StrategyPipeline>) -> Result<Left, PassError> {
    let found = dereference(context, pipeline).await;
    let kafka = match &found.kafka {
        Ok(kafka) => kafka,
        Err(error) => return Ok(Left::from([("kafka".to_owned(), error.to_string())])),
    };
    let mut left = Left::new();
    for topic in topics_to_delete(&found) {
        if found.unreadable > 0 {
            let reason = format!("{} pipelines cannot be read and may name it", found.unreadable);
            left.insert(format!("topic.{topic}"), reason);
        } else if let Err(error) = kafka.delete_topic(&topic).await {
            left.insert(format!("topic.{topic}"), error.to_string());
        }
    }
    crash_point!("finalize.after_topics");
    let groups = groups(&found);
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    if let Err(error) = kafka.delete_groups(&names).await {
        left.insert("groups".to_owned(), format!("{error}: {}", names.join(", ")));
    }
    Ok(left)
}

/// Managed topics with policy Delete that no other pipeline names.
fn topics_to_delete(found: &Found) -> Vec<String> {
    let doomed = wishes(&found.pipeline.spec).into_iter().filter(|wish| {
        wish.management == Management::Managed
            && wish.deletion == DeletionPolicy::Delete
            && !found.named_by_others.contains(&wish.name)
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

/// Lets a pipeline go that cannot be read: what it made outside the cluster is not known, so all of it stays.
///
/// # Errors
/// Where the API server refuses.
pub(super) async fn let_go_unread(context: &Context, invalid: &InvalidObject) -> Result<(), PassError> {
    let key = PipelineKey {
        namespace: invalid.metadata.namespace.clone().unwrap_or_default(),
        name: invalid.metadata.name.clone().unwrap_or_default(),
        uid: invalid.metadata.uid.clone().unwrap_or_default(),
    };
    let reason = format!("the pipeline could not be read: {}", invalid.error);
    write_note(context, &key, Left::from([("everything".to_owned(), reason)])).await;
    let_go(context, &key, &invalid.metadata).await
}

/// Takes the finalizer off, and forgets the pipeline.
async fn let_go(context: &Context, key: &PipelineKey, metadata: &ObjectMeta) -> Result<(), PassError> {
    let taken_off = finalizer::take_off(&context.client, metadata).await;
    taken_off.map_err(PassError::write("the finalizer"))?;
    context.observer.forget(&key.namespace, &key.name);
    context.forget(&key.uid);
    Ok(())
}

/// An event on the object, and a note that outlives it.
async fn tell_what_is_left(context: &Context, pipeline: &StrategyPipeline, left: &Left) {
    let list = list(left);
    let key = PipelineKey::of(pipeline);
    let notice = Notice {
        warning: true,
        reason: "LeftBehind".to_owned(),
        message: format!(
            "deleted without cleaning up: {list}; delete it by hand; this list stays in ConfigMap {} of namespace {}",
            note_name(&key),
            context.settings.namespace
        ),
        action: "Delete".to_owned(),
    };
    context.observer.tell(pipeline.object_ref(&()), notice);
    let mut note: Left = left
        .iter()
        .map(|(what, why)| (config_map_key(what), why.clone()))
        .collect();
    note.insert("brokers".to_owned(), pipeline.spec.kafka.bootstrap_servers.clone());
    write_note(context, &key, note).await;
}

fn list(left: &Left) -> String {
    let lines: Vec<String> = left.iter().map(|(what, why)| format!("{what}: {why}")).collect();
    lines.join("; ")
}

fn note_name(key: &PipelineKey) -> String {
    format!("assay-left-behind-{}", key.uid)
}

/// A ConfigMap in the operator's namespace.
async fn write_note(context: &Context, key: &PipelineKey, mut note: Left) {
    let told = list(&note);
    note.insert("pipeline".to_owned(), format!("{}/{}", key.namespace, key.name));
    let name = note_name(key);
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        data: Some(note),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    if let Err(error) = api.patch(&name, &params, &Patch::Apply(&config_map)).await {
        // Letting go matters more than the note: the event and this line tell the same.
        tracing::error!(%error, left = told, "what was left behind could not be written down");
    }
}

/// Keys of a ConfigMap allow what names of topics allow, and are cut at 253 characters.
fn config_map_key(what: &str) -> String {
    what.chars().take(253).collect()
}
