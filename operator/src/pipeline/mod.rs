//! One pass over a pipeline: dereference, validate, build, apply, and the status that tells it.

mod apply;
pub mod build;
pub mod dereference;
mod error;
mod finalize;
mod others;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_crds::{StrategyPipeline, StrategyPipelineStatus};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use self::apply::{apply, stop_all};
use self::build::{Blueprint, build};
use self::dereference::{Found, dereference, read_topics_again};
pub use self::error::PassError;
use self::others::is_at_rest;
use self::validate::{Hold, Judgement, is_upgrade, topic_plans, validate};
use crate::context::Context;
use crate::crash_points::crash_point;
use crate::finalizer;
use crate::names::{FIELD_MANAGER, PipelineKey};
use crate::observe::{Notice, Outcome, Pass};
use crate::rollout::RolloutState;
use crate::scaling::{self, Rates, Sample};
use crate::topics::mark_what_did_not_take;

/// How long one pass may take.
const PASS_LIMIT: Duration = Duration::from_mins(1);
/// How long a pass waits for the first lists of what stands in the cluster.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// When one that waits for something is looked at again.
const SOON: Duration = Duration::from_secs(2);
const FIRST_HELD_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);
/// Figures in status move at most this often.
const FIGURES_EVERY: Duration = Duration::from_secs(30);

/// One pass; called by the controller.
///
/// # Errors
/// Why it failed; the controller calls again after a growing pause.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<StrategyPipeline>>,
    context: Arc<Context>,
) -> Result<Action, PassError> {
    context.listed().await.map_err(|_| PassError::WatchEnded)?;
    let mut pass = context.observer.pass();
    let limited = tokio::time::timeout(PASS_LIMIT, any_pass(&context, &guard, &mut pass)).await;
    let result = limited.unwrap_or(Err(PassError::Timeout(PASS_LIMIT.as_secs())));
    let uid = guard.meta().uid.as_deref().unwrap_or_default();
    match result {
        Ok(action) => {
            context.succeeded(uid);
            Ok(action)
        }
        // Somebody changed the object during the pass; the watch brings its new form.
        Err(error) if error.is_conflict() => {
            pass.end(Outcome::Waiting);
            Ok(Action::requeue(waiting_pause(&context, uid, FIRST_HELD_PAUSE)))
        }
        Err(error) => {
            pass.end(Outcome::Failed);
            context.remember(uid, |memory| memory.failures = memory.failures.saturating_add(1));
            tell(&context, &*guard, true, error.reason(), error.to_string(), "Reconcile");
            Err(error)
        }
    }
}

async fn any_pass(
    context: &Context,
    guard: &DeserializeGuard<StrategyPipeline>,
    pass: &mut Pass,
) -> Result<Action, PassError> {
    match &guard.0 {
        Ok(pipeline) => one_pass(context, Arc::new(pipeline.clone()), pass).await,
        Err(invalid) => refuse(context, invalid, pass).await,
    }
}

/// The pause after a failed pass: doubled with each failure in a row.
#[must_use]
pub fn back_off(guard: &Arc<DeserializeGuard<StrategyPipeline>>, error: &PassError, context: &Arc<Context>) -> Action {
    let failures = guard
        .meta()
        .uid
        .as_deref()
        .map_or(0, |uid| context.recall(uid).failures);
    let pause = Duration::from_secs(1 << failures.min(9)).min(LONGEST_BACKOFF);
    tracing::warn!(pipeline = guard.name_any(), %error, failures, pause_s = pause.as_secs(), "pass failed");
    Action::requeue(pause)
}

async fn one_pass(context: &Context, pipeline: Arc<StrategyPipeline>, pass: &mut Pass) -> Result<Action, PassError> {
    if pipeline.metadata.deletion_timestamp.is_some() {
        return delete(context, pipeline, pass).await;
    }
    if others::is_paused(&pipeline) {
        context.upgrade_is_told(&PipelineKey::of(&pipeline).uid);
        pass.end(Outcome::Skipped);
        return Ok(Action::await_change());
    }
    let listed = tokio::time::timeout(LIST_LIMIT, context.children_listed()).await;
    listed.map_err(|_| PassError::Unlisted(LIST_LIMIT.as_secs()))?;
    if !finalizer::is_on(&pipeline.metadata) {
        let put_on = finalizer::put_on(&context.client, &pipeline.metadata).await;
        if !put_on.map_err(PassError::write("the finalizer"))? {
            // It was deleted since the watch told of it: nothing may be made for it that nobody would remove.
            pass.end(Outcome::Skipped);
            return Ok(Action::await_change());
        }
        crash_point!("finalizer.after");
    }
    pass.phase("dereference");
    let mut found = dereference(context, pipeline).await;
    pass.phase("validate");
    let mut judgement = validate(&found, &context.settings);
    take_turn(context, &found, &mut judgement);
    pass.phase("topics");
    let under_way = is_under_way(&judgement);
    let result = match apply_topics(context, &mut found, &mut judgement).await {
        // Told at once, because others wait for their topics too; the next pass does the rest.
        Ok(true) if matches!(judgement.hold, Some(Hold::Topic { .. })) => Ok(true),
        Ok(changed) => write(context, &found, &judgement, pass)
            .await
            .map(|promoted| promoted || changed),
        Err(error) => Err(error),
    };
    pass.phase("status");
    crash_point!("status.before");
    let failure = result.as_ref().err().map(ToString::to_string);
    report(context, &found, &judgement, failure.as_deref(), under_way).await?;
    let progress = result?;
    Ok(finish(context, &found, &judgement, progress, pass))
}

/// An upgrade that is judged to be free to start still needs its turn among the passes that run now.
fn take_turn(context: &Context, found: &Found, judgement: &mut Judgement) {
    let uid = &found.key.uid;
    if is_at_rest(&found.pipeline) {
        context.upgrade_is_told(uid);
    } else if !is_upgrade(found, judgement) {
        // Once the status in the watch names the candidate, everybody counts it; an upgrade that is over needs no counting.
        let status = found.pipeline.status.as_ref();
        let is_told = status.is_some_and(|status| status.candidate_revision.is_some());
        let is_over = judgement
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.state == RolloutState::Complete);
        if is_told || is_over {
            context.upgrade_is_told(uid);
        }
    } else if judgement.hold.is_none()
        && let Err(others) = context.start_upgrade(uid, &found.moving, context.settings.max_concurrent_upgrades)
    {
        judgement.runs.clear();
        judgement.hold = Some(Hold::UpgradePending(others));
    }
}

async fn delete(context: &Context, pipeline: Arc<StrategyPipeline>, pass: &mut Pass) -> Result<Action, PassError> {
    if !finalizer::is_on(&pipeline.metadata) {
        pass.end(Outcome::Skipped);
        return Ok(Action::await_change());
    }
    pass.phase("finalize");
    let is_gone = finalize::finalize(context, pipeline).await?;
    pass.end(if is_gone { Outcome::Applied } else { Outcome::Waiting });
    Ok(if is_gone {
        Action::await_change()
    } else {
        Action::requeue(SOON)
    })
}

/// Creates and mends topics, and looks at them again where any was; gives whether that did anything.
async fn apply_topics(context: &Context, found: &mut Found, judgement: &mut Judgement) -> Result<bool, PassError> {
    let changed = apply::apply_topics(found, judgement).await?;
    if changed.is_empty() {
        return Ok(false);
    }
    for message in changed {
        tell(context, &*found.pipeline, false, "TopicChanged", message, "ApplyTopics");
    }
    read_topics_again(found).await;
    let carried_out = std::mem::replace(&mut judgement.topics, topic_plans(found));
    Ok(mark_what_did_not_take(&carried_out, &mut judgement.topics))
}

/// Builds and applies; gives whether a revision was promoted.
async fn write(context: &Context, found: &Found, judgement: &Judgement, pass: &mut Pass) -> Result<bool, PassError> {
    if judgement.hold.is_some() {
        if found.pipeline.spec.suspend {
            stop_all(context, found).await?;
        }
        return Ok(false);
    }
    pass.phase("build");
    let resources = build(&Blueprint {
        pipeline: &found.pipeline,
        revisions: judgement.runs.clone(),
        secrets: &found.secrets.digest,
        default_image: &context.settings.processor_image,
    })?;
    pass.phase("apply");
    let promoted = apply(context, found, judgement, resources).await?;
    if let Some(revision) = &promoted {
        let message = format!(
            "revision {revision} is live; back with: kubectl assay rollback {} -n {}",
            found.key.name, found.key.namespace
        );
        tell(context, &*found.pipeline, false, "Promoted", message, "Promote");
    }
    Ok(promoted.is_some())
}

/// Ends the pass and says when the next one comes.
fn finish(context: &Context, found: &Found, judgement: &Judgement, changed: bool, pass: &mut Pass) -> Action {
    let moving = judgement
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.state == RolloutState::CatchingUp);
    let unsettled = found.workloads.values().any(|workload| !workload.settled);
    let (uid, resync) = (&found.key.uid, context.settings.resync);
    let (outcome, after) = match &judgement.hold {
        Some(_) if status::is_stalled(judgement) => (Outcome::Failed, resync),
        Some(_) if !changed => (Outcome::Waiting, waiting_pause(context, uid, FIRST_HELD_PAUSE)),
        None if !changed && (moving || unsettled) => (Outcome::Waiting, waiting_pause(context, uid, SOON)),
        // An alteration that did not take is tried again, because the brokers may only be slow to show it, and soon no more often than
        // any drift is looked for.
        None if !changed && is_under_way(judgement) => (Outcome::Waiting, growing_pause(context, uid, SOON, resync)),
        _ => {
            context.remember(uid, |memory| memory.waited = 0);
            if changed {
                (Outcome::Waiting, SOON)
            } else {
                (Outcome::Applied, resync)
            }
        }
    };
    pass.end(outcome);
    Action::requeue(after.min(resync))
}

/// What is waited for is looked at soon, because most of it comes within seconds, and then less and less often: hundreds of pipelines may
/// wait at once, a first replay takes hours, and the watch tells what happens in the cluster anyway.
fn waiting_pause(context: &Context, uid: &str, first: Duration) -> Duration {
    growing_pause(context, uid, first, LONGEST_PAUSE)
}

/// Doubled with each pass in a row that waited.
fn growing_pause(context: &Context, uid: &str, first: Duration, longest: Duration) -> Duration {
    let mut waited = 0;
    context.remember(uid, |memory| {
        waited = memory.waited;
        memory.waited = waited.saturating_add(1);
    });
    (first * 2_u32.pow(waited.min(8))).min(longest)
}

/// Writes status, metrics and the event of a pipeline that is held back.
async fn report(
    context: &Context,
    found: &Found,
    judgement: &Judgement,
    failure: Option<&str>,
    under_way: bool,
) -> Result<(), PassError> {
    let rates = measure(context, found);
    let status = status::status(found, judgement, failure, rates);
    measure_pipeline(context, found, &status);
    if let Some(hold) = judgement.hold.as_ref().filter(|_| !under_way) {
        tell(
            context,
            &*found.pipeline,
            true,
            status::hold_reason(hold),
            hold.to_string(),
            "Validate",
        );
    }
    let before = found.pipeline.status.clone().unwrap_or_default();
    let memory = context.recall(&found.key.uid);
    if memory.figures_written.is_none() {
        // An operator that has just started knows no rates: what its predecessor wrote stands until it does.
        context.remember(&found.key.uid, |memory| memory.figures_written = Some(Instant::now()));
    }
    let figures_are_due = memory
        .figures_written
        .is_some_and(|when| when.elapsed() >= FIGURES_EVERY);
    let is_due = if without_figures(&before) == without_figures(&status) {
        figures_are_due && before != status
    } else {
        true
    };
    if !is_due {
        return Ok(());
    }
    write_status(context, &found.key, &status).await?;
    context.remember(&found.key.uid, |memory| memory.figures_written = Some(Instant::now()));
    Ok(())
}

/// Whether the topics are being created or repaired: nothing that a person need be told.
fn is_under_way(judgement: &Judgement) -> bool {
    judgement.topics.iter().any(|topic| topic.action.is_some())
}

fn measure(context: &Context, found: &Found) -> Option<Rates> {
    let view = found.view.as_ref().ok()?;
    let live = view.revisions.get(view.live.as_ref()?)?;
    let now = Sample::take(found.at, live.partitions, found.bounds.as_ref().ok()?, &live.progress)?;
    let before = context.recall(&found.key.uid).sample;
    let rates = before.as_ref().and_then(|before| scaling::rates(before, &now));
    if before.is_none()
        || rates.is_some()
        || before.is_some_and(|before| now.ends < before.ends || now.progress < before.progress)
    {
        context.remember(&found.key.uid, |memory| memory.sample = Some(now));
    }
    rates
}

fn measure_pipeline(context: &Context, found: &Found, status: &StrategyPipelineStatus) {
    let labels = &[found.key.namespace.as_str(), found.key.name.as_str()];
    let ready = status
        .conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    context.observer.ready.with_label_values(labels).set(i64::from(ready));
    let lag = status::live_lag(found);
    match lag.as_ref().and_then(|(lag, _)| lag.total()) {
        Some(total) => context.observer.lag.with_label_values(labels).set(total),
        // Absent is how a metric says unknown; that it may be absent already is fine.
        None => drop(context.observer.lag.remove_label_values(labels)),
    }
    let headroom =
        lag.map(|(lag, progress)| scaling::headroom(status::retention_ms(found), found.now_ms, &lag, progress));
    match headroom {
        Some(scaling::Headroom::Millis(millis)) => {
            context
                .observer
                .headroom
                .with_label_values(labels)
                .set(crate::text::seconds(millis));
        }
        _ => drop(context.observer.headroom.remove_label_values(labels)),
    }
}

/// Without what moves all the time.
fn without_figures(status: &StrategyPipelineStatus) -> StrategyPipelineStatus {
    let mut status = StrategyPipelineStatus {
        lag: None,
        time_to_drain: None,
        retention_headroom: None,
        hit_rate: None,
        brier_skill: None,
        ..status.clone()
    };
    for revision in &mut status.revisions {
        revision.replayed = None;
    }
    for condition in status
        .conditions
        .iter_mut()
        .filter(|condition| condition.reason == status::CATCHING_UP)
    {
        condition.message.clear();
    }
    status
}

async fn write_status(context: &Context, key: &PipelineKey, status: &StrategyPipelineStatus) -> Result<(), PassError> {
    let api: Api<StrategyPipeline> = Api::namespaced(context.client.clone(), &key.namespace);
    let patch = json!({
        "apiVersion": StrategyPipeline::api_version(&()),
        "kind": StrategyPipeline::kind(&()),
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&key.name, &params, &Patch::Apply(&patch))
        .await
        .map_err(PassError::write("the status"))?;
    Ok(())
}

/// An object that cannot be read at all is answered in its own status and blocks nobody else.
async fn refuse(context: &Context, invalid: &InvalidObject, pass: &mut Pass) -> Result<Action, PassError> {
    if invalid.metadata.deletion_timestamp.is_some() {
        finalize::let_go_unread(context, invalid).await?;
        pass.end(Outcome::Skipped);
        return Ok(Action::await_change());
    }
    let (namespace, name) = (
        invalid.metadata.namespace.clone().unwrap_or_default(),
        invalid.metadata.name.clone().unwrap_or_default(),
    );
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Undecodable", "message": invalid.error, "lastTransitionTime": now});
    let patch = json!({
        "apiVersion": StrategyPipeline::api_version(&()),
        "kind": StrategyPipeline::kind(&()),
        "status": {"conditions": [condition("Ready", "False"), condition("Stalled", "True")], "replicas": 0},
    });
    let resource = kube::core::ApiResource::erase::<StrategyPipeline>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&name, &params, &Patch::Apply(&patch))
        .await
        .map_err(PassError::write("the status"))?;
    pass.end(Outcome::Failed);
    Ok(Action::await_change())
}

fn tell(
    context: &Context,
    pipeline: &impl Resource<DynamicType = ()>,
    warning: bool,
    reason: &str,
    message: String,
    action: &str,
) {
    let notice = Notice {
        warning,
        reason: reason.to_owned(),
        message,
        action: action.to_owned(),
    };
    context.observer.tell(pipeline.object_ref(&()), notice);
}
