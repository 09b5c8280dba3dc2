//! All writes of a pass, in their order: topics, then what pods need, then pods, then what is left over, then the promotion.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::build::Resources;
use super::dereference::Found;
use super::error::PassError;
use super::validate::Judgement;
use crate::context::Context;
use crate::crash_points::crash_point;
use crate::names::{self, FIELD_MANAGER};
use crate::topics;

/// Creates and repairs topics.
///
/// # Errors
/// The first thing that Kafka refused.
pub(super) async fn apply_topics(found: &Found, judgement: &Judgement) -> Result<Vec<String>, PassError> {
    let Ok(kafka) = &found.kafka else { return Ok(Vec::new()) };
    let mut changed = Vec::new();
    for plan in &judgement.topics {
        if topics::apply(kafka, plan).await? {
            changed.push(plan.message.clone());
            crash_point!("topics.after");
        }
    }
    Ok(changed)
}

/// Writes what was built, removes what is left over, promotes.
///
/// # Errors
/// The first write that was refused.
pub(super) async fn apply(
    context: &Context,
    found: &Found,
    judgement: &Judgement,
    resources: Resources,
) -> Result<Option<String>, PassError> {
    let Resources {
        service_account,
        config_maps,
        deployments,
        pod_disruption_budget,
        network_policy,
        service,
    } = resources;
    let namespace = &found.key.namespace;
    if let Some(account) = service_account {
        write(context, namespace, &account).await?;
    }
    for config_map in &config_maps {
        if let Some(written) = write(context, namespace, config_map).await? {
            context.config_maps.saw(&written);
        }
    }
    crash_point!("config_maps.after");
    write(context, namespace, &pod_disruption_budget).await?;
    write(context, namespace, &network_policy).await?;
    write(context, namespace, &service).await?;
    for deployment in &deployments {
        if let Some(written) = write(context, namespace, deployment).await? {
            context.deployments.saw(&written);
        }
    }
    crash_point!("deployments.after");
    let there = found
        .workloads
        .keys()
        .map(|revision| names::revision_name(&found.key.name, revision));
    remove_left_over::<Deployment>(context, namespace, there, &names_of(&deployments)).await?;
    // While pods of the old form run, one that restarts still needs what it mounted. The writes above may have begun a roll.
    let standing = context.deployments.of(namespace, &found.key.name);
    if standing.values().all(|workload| workload.settled) {
        let there = found.config_maps.iter().cloned();
        remove_left_over::<ConfigMap>(context, namespace, there, &names_of(&config_maps)).await?;
    }
    crash_point!("left_over.after");
    delete_retired_groups(context, found, judgement).await;
    promote(context, found, judgement).await
}

/// Deletes the consumer groups of revisions that stopped, once for each stop. Best effort: progress lives in the store, and an idle
/// group only clutters the brokers until they forget it.
async fn delete_retired_groups(context: &Context, found: &Found, judgement: &Judgement) {
    let (Ok(kafka), Ok(view), Some(rollout)) = (&found.kafka, &found.view, &judgement.rollout) else {
        return;
    };
    let stopped = |revision: &&String| !rollout.run.contains(*revision) && !found.workloads.contains_key(*revision);
    let stopped: BTreeSet<String> = view.revisions.keys().filter(stopped).cloned().collect();
    if stopped == context.recall(&found.key.uid).stopped {
        return;
    }
    let groups: Vec<String> = stopped
        .iter()
        .map(|revision| names::consumer_group(&found.pipeline, revision))
        .collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    match kafka.delete_groups(&groups).await {
        Ok(()) => context.remember(&found.key.uid, |memory| memory.stopped = stopped),
        Err(error) => tracing::info!(pipeline = found.key.name, %error, "groups of stopped revisions are still there"),
    }
}

fn names_of<K: ResourceExt>(objects: &[K]) -> BTreeSet<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

/// Server-side apply under our one field manager, where the object does not stand so already; gives what became of it.
async fn write<K>(context: &Context, namespace: &str, object: &K) -> Result<Option<K>, PassError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    if context.written.stands(object) {
        return Ok(None);
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let name = object.name_any();
    let what = format!("{} {name}", K::kind(&K::DynamicType::default()));
    let result = api
        .patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
        .await
        .map_err(PassError::write(what))?;
    context.written.wrote(object, &result);
    Ok(Some(result))
}

/// Deletes those of the objects that are there which no revision needs any more.
async fn remove_left_over<K>(
    context: &Context,
    namespace: &str,
    there: impl Iterator<Item = String>,
    keep: &BTreeSet<String>,
) -> Result<(), PassError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    for name in there.filter(|name| !keep.contains(name)) {
        context.written.forget::<K>(namespace, &name);
        delete_if_there(&api, &name).await?;
    }
    Ok(())
}

/// Deletes an object with what it owns; one that is gone already is fine.
///
/// # Errors
/// Where the API server refuses.
pub(super) async fn delete_if_there<K>(api: &Api<K>, name: &str) -> Result<(), PassError>
where
    K: Clone + Debug + DeserializeOwned,
{
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(PassError::write(format!("the deletion of {name}"))(error)),
    }
}

/// Suspends although everything else is held back: a person who stops processors must not have to mend Kafka first.
///
/// # Errors
/// Where the API server refuses.
pub(super) async fn stop_all(context: &Context, found: &Found) -> Result<(), PassError> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &found.key.namespace);
    for (revision, _) in found.workloads.iter().filter(|(_, workload)| workload.wanted > 0) {
        let name = names::revision_name(&found.key.name, revision);
        let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let stopped = api.patch(&name, &params, &patch).await;
        context
            .deployments
            .saw(&stopped.map_err(PassError::write(format!("Deployment {name}")))?);
    }
    Ok(())
}

/// Makes the wanted revision live where the rollout says so, and takes a fulfilled wish of a person off the object.
async fn promote(context: &Context, found: &Found, judgement: &Judgement) -> Result<Option<String>, PassError> {
    let (Some(rollout), Ok(view), Ok(store)) = (&judgement.rollout, &found.view, &found.store) else {
        return Ok(None);
    };
    let wanted = rollout.wanted.to_string();
    let asked = found.pipeline.annotations().get(names::PROMOTE);
    if asked.is_some_and(|asked| Some(asked) == view.live.as_ref()) {
        forget_wish(context, found).await?;
        return Ok(None);
    }
    let Some(actor) = rollout.promote else { return Ok(None) };
    let evidence = json!({"caughtUpWithinSeconds": 5, "replaced": view.live}).to_string();
    crash_point!("promote.before");
    let promoted = store
        .promote(&found.key.uid, &wanted, view.generation, actor, &evidence)
        .await?;
    crash_point!("promote.after");
    Ok(promoted.map(|_| wanted))
}

async fn forget_wish(context: &Context, found: &Found) -> Result<(), PassError> {
    let api: Api<assay_crds::StrategyPipeline> = Api::namespaced(context.client.clone(), &found.key.namespace);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::PROMOTE: null}}}));
    api.patch_metadata(&found.key.name, &PatchParams::default(), &patch)
        .await
        .map_err(PassError::write("an annotation"))?;
    Ok(())
}
