//! From what was found, judged and done to the status: pure. Transition times move only on transitions.

use assay_crds::spec::{Migrations, ScalingMode};
use assay_crds::status::{LagStatus, PartitionLag, RevisionStatus, RolloutStatus, TopicStatus};
use assay_crds::{StrategyPipeline, StrategyPipelineStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::dereference::Found;
use super::validate::{Hold, Judgement};
use crate::names;
use crate::rollout::{Rollout, RolloutState};
use crate::scaling::{self, Headroom, Rates, TimeToDrain};
use crate::text;
use crate::topics::{TopicPlan, TopicState};

/// Partitions that status names.
const WORST_PARTITIONS: usize = 10;

/// Reason of `RolloutComplete` while a revision replays the log.
pub const CATCHING_UP: &str = "CatchingUp";

/// A condition before its transition time is known.
struct Verdict {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn new(kind: &'static str, status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            reason,
            message: message.into(),
        }
    }
}

/// The whole status.
#[must_use]
pub fn status(
    found: &Found,
    judgement: &Judgement,
    failure: Option<&str>,
    rates: Option<Rates>,
) -> StrategyPipelineStatus {
    let pipeline = &found.pipeline;
    let before = pipeline.status.clone().unwrap_or_default();
    let live = live_revision(found);
    let (hit_rate, brier_skill) = scores(found, &before);
    let mut status = StrategyPipelineStatus {
        observed_generation: pipeline.metadata.generation,
        conditions: conditions(pipeline, &before.conditions, verdicts(found, judgement, failure)),
        topics: judgement.topics.iter().map(topic_status).collect(),
        consumer_group: live.as_deref().map(|live| names::consumer_group(pipeline, live)),
        candidate_revision: candidate(found, judgement, live.as_deref()),
        revisions: revisions(found, judgement),
        replicas: live
            .as_ref()
            .and_then(|live| found.workloads.get(live))
            .map_or(0, |workload| workload.replicas),
        selector: Some(selector_text(&found.key.name, live.as_deref())),
        live_revision: live,
        hit_rate,
        brier_skill,
        rollout: before
            .rollout
            .clone()
            .filter(|rollout| *rollout != RolloutStatus::default()),
        ..StrategyPipelineStatus::default()
    };
    add_lag(&mut status, found, rates);
    status
}

/// Where the store is away or empty, what was last known stays, here and below: a column that empties itself would look like a loss.
fn live_revision(found: &Found) -> Option<String> {
    let known = found.view.as_ref().ok().and_then(|view| view.live.clone());
    known.or_else(|| found.pipeline.status.as_ref()?.live_revision.clone())
}

/// The wanted revision, where it is started and not live.
fn candidate(found: &Found, judgement: &Judgement, live: Option<&str>) -> Option<String> {
    if found.view.is_err() {
        return found.pipeline.status.as_ref()?.candidate_revision.clone();
    }
    let rollout = judgement.rollout.as_ref();
    let started = rollout.filter(|rollout| is_started(rollout, judgement))?;
    let wanted = started.wanted.to_string();
    (Some(wanted.as_str()) != live).then_some(wanted)
}

/// Hit rate and Brier skill of the live revision.
fn scores(found: &Found, before: &StrategyPipelineStatus) -> (Option<String>, Option<String>) {
    let Ok(view) = &found.view else {
        return (before.hit_rate.clone(), before.brier_skill.clone());
    };
    let text = |score: Option<f64>| score.map(|score| format!("{score:.2}"));
    (text(view.scores.hit_rate), text(view.scores.brier_skill))
}

/// Autoscalers find the live revision's pods by it; before there is one, every pod of the pipeline.
fn selector_text(pipeline: &str, revision: Option<&str>) -> String {
    let labels = names::selector(pipeline, revision);
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn topic_status(plan: &TopicPlan) -> TopicStatus {
    TopicStatus {
        name: plan.wish.name.clone(),
        id: plan.id.clone(),
        partitions: plan.found.map(|(partitions, _)| partitions),
        replication_factor: plan.found.map(|(_, copies)| copies),
        owner: plan.owner.clone(),
        state: plan.state.as_str().to_owned(),
        message: (!plan.message.is_empty()).then(|| plan.message.clone()),
    }
}

fn revisions(found: &Found, judgement: &Judgement) -> Vec<RevisionStatus> {
    let Ok(view) = &found.view else {
        return found.pipeline.status.clone().unwrap_or_default().revisions;
    };
    let running = judgement
        .rollout
        .iter()
        .filter(|rollout| is_started(rollout, judgement));
    let running = running.flat_map(|rollout| &rollout.run);
    let mut names: Vec<&String> = view.revisions.keys().chain(running).collect();
    names.sort();
    names.dedup();
    let status = |name: &&String| {
        let phase = phase(name, view.live.as_deref(), judgement);
        RevisionStatus {
            name: (*name).clone(),
            phase: phase.to_owned(),
            ready_replicas: found.workloads.get(*name).map_or(0, |workload| workload.ready),
            replayed: (phase == "Candidate").then(|| replayed(found, name)).flatten(),
            message: None,
        }
    };
    names.iter().map(status).collect()
}

/// Whether the wanted revision exists or is made in this pass. One that is held back before it was made is no candidate: others that wait
/// for their turn count candidates.
fn is_started(rollout: &Rollout, judgement: &Judgement) -> bool {
    !rollout.is_new || (judgement.hold.is_none() && rollout.state != RolloutState::PutOff)
}

fn phase(name: &str, live: Option<&str>, judgement: &Judgement) -> &'static str {
    let rollout = judgement.rollout.as_ref();
    if live == Some(name) {
        "Live"
    } else if rollout
        .is_some_and(|rollout| rollout.state == RolloutState::Rejected && rollout.wanted.to_string() == name)
    {
        "Rejected"
    } else if rollout.is_some_and(|rollout| rollout.run.contains(name)) {
        "Candidate"
    } else {
        "Retired"
    }
}

/// How much of the history a candidate has read, percent.
fn replayed(found: &Found, revision: &str) -> Option<String> {
    let progress = &found.view.as_ref().ok()?.revisions.get(revision)?.progress;
    let (done, all) = progress.values().fold((0, 0), |(done, all), row| {
        (
            done + row.next_offset.min(row.live_from_offset) - row.start_offset,
            all + row.live_from_offset - row.start_offset,
        )
    });
    Some(if all <= 0 {
        "100%".to_owned()
    } else {
        format!("{}%", done.max(0) * 100 / all)
    })
}

fn add_lag(status: &mut StrategyPipelineStatus, found: &Found, rates: Option<Rates>) {
    let Some((lag, progress)) = live_lag(found) else { return };
    let retention = retention_ms(found);
    status.time_to_drain = match scaling::time_to_drain(lag.total(), rates) {
        TimeToDrain::Seconds(seconds) => Some(text::duration(seconds)),
        TimeToDrain::Never => Some("never".to_owned()),
        TimeToDrain::Unknown => None,
    };
    status.retention_headroom = match scaling::headroom(retention, found.now_ms, &lag, progress) {
        Headroom::Millis(millis) => Some(text::duration(text::seconds(millis))),
        Headroom::Unlimited => Some("unlimited".to_owned()),
        Headroom::Unknown => None,
    };
    status.lag = Some(LagStatus {
        total: lag.total().map_or_else(|| "unknown".to_owned(), text::two_digits),
        worst: lag
            .worst(WORST_PARTITIONS)
            .into_iter()
            .filter(|(_, records)| *records > 0)
            .map(|(partition, records)| PartitionLag {
                partition,
                records: text::round(records),
            })
            .collect(),
        unknown: lag.unknown.into_iter().take(WORST_PARTITIONS).collect(),
        arrival_rate: rates.map(|rates| text::rate(rates.arrival)),
        drain_rate: rates.map(|rates| text::rate(rates.drain)),
    });
}

/// Lag of the live revision with its progress; `None` where nothing is live. Progress in a topic that was made anew says nothing about
/// the log that is there now: unknown, never zero.
#[must_use]
pub fn live_lag(
    found: &Found,
) -> Option<(
    scaling::Lag,
    &std::collections::BTreeMap<i32, crate::store::StoredProgress>,
)> {
    let view = found.view.as_ref().ok()?;
    let live = view.revisions.get(view.live.as_ref()?)?;
    let nothing = crate::kafka::Bounds::new();
    let same_log = found.topic_identity() == Some(live.topic_identity.as_str());
    let bounds = found.bounds.as_ref().ok().filter(|_| same_log);
    let lag = scaling::lag(live.partitions, bounds.unwrap_or(&nothing), &live.progress);
    Some((lag, &live.progress))
}

/// Retention as found, else as the manifest states it.
#[must_use]
pub fn retention_ms(found: &Found) -> Option<i64> {
    let source = &found.pipeline.spec.source;
    let topic = found
        .topics
        .get(&source.topic)
        .and_then(|topic| topic.as_ref().ok()?.as_ref());
    let found = topic.and_then(|topic| topic.settings.as_ref().ok()?.get("retention.ms").cloned());
    found
        .or_else(|| source.config.get("retention.ms").cloned())?
        .parse()
        .ok()
}

fn conditions(pipeline: &StrategyPipeline, before: &[Condition], verdicts: Vec<Verdict>) -> Vec<Condition> {
    let now = Time(k8s_openapi::jiff::Timestamp::now());
    let condition = |verdict: Verdict| {
        let old = before
            .iter()
            .find(|old| old.type_ == verdict.kind && old.status == verdict.status);
        Condition {
            type_: verdict.kind.to_owned(),
            status: verdict.status.to_owned(),
            reason: verdict.reason.to_owned(),
            message: verdict.message,
            observed_generation: pipeline.metadata.generation,
            last_transition_time: old.map_or_else(|| now.clone(), |old| old.last_transition_time.clone()),
        }
    };
    verdicts.into_iter().map(condition).collect()
}

fn verdicts(found: &Found, judgement: &Judgement, failure: Option<&str>) -> Vec<Verdict> {
    let settings = settings_verdict(judgement);
    let topics = topics_verdict(judgement);
    let processors = processors_verdict(found, judgement);
    let rollout = rollout_verdict(found, judgement);
    let ready = ready_verdict(found, judgement, failure, &processors);
    let stalled = is_stalled(judgement);
    let reconciling = ready.status != "True" && !stalled && !found.pipeline.spec.suspend;
    let (reason, message) = (ready.reason, ready.message.clone());
    let mut verdicts = vec![settings, topics, processors, rollout];
    verdicts.extend(extra_verdicts(found));
    verdicts.push(Verdict::new("Reconciling", truth(reconciling), reason, message.clone()));
    verdicts.push(Verdict::new("Stalled", truth(stalled), reason, message));
    verdicts.insert(0, ready);
    verdicts
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn settings_verdict(judgement: &Judgement) -> Verdict {
    match &judgement.problems {
        None => Verdict::new("SettingsValid", "True", "Valid", ""),
        Some(problems) => Verdict::new("SettingsValid", "False", "Invalid", problems.to_string()),
    }
}

fn topics_verdict(judgement: &Judgement) -> Verdict {
    let Some(worst) = judgement.topics.iter().find(|topic| topic.state != TopicState::Ready) else {
        return Verdict::new("TopicsReady", "True", "Ready", "");
    };
    let (status, reason) = match worst.state {
        TopicState::Ready => ("True", "Ready"),
        TopicState::Missing => ("False", "TopicMissing"),
        TopicState::Mismatch => ("False", "TopicMismatch"),
        TopicState::Drifted => ("False", "TopicDrifted"),
        TopicState::Conflict => ("False", "TopicConflict"),
        TopicState::SettingsUnknown => ("Unknown", "SettingsUnknown"),
        TopicState::Unknown => ("Unknown", "TopicUnknown"),
    };
    Verdict::new("TopicsReady", status, reason, worst.message.clone())
}

fn processors_verdict(found: &Found, judgement: &Judgement) -> Verdict {
    if found.pipeline.spec.suspend {
        return Verdict::new(
            "ProcessorsReady",
            "False",
            "Suspended",
            "spec.suspend is true; set it to false to go on where they stopped",
        );
    }
    let wanted = || judgement.rollout.as_ref().map(|rollout| rollout.wanted.to_string());
    let workload = match live_revision(found).or_else(wanted) {
        Some(revision) => found.workloads.get(&revision),
        // Which one is meant is not known; that one runs is.
        None => found.workloads.values().next(),
    };
    let Some(workload) = workload else {
        return Verdict::new("ProcessorsReady", "False", "NotStarted", "no processor was started yet");
    };
    let message = format!("{} of {} processors are ready", workload.ready, workload.wanted);
    if workload.wanted == 0 {
        Verdict::new(
            "ProcessorsReady",
            "False",
            "NoReplicas",
            "spec.processor.replicas is 0; raise it to go on",
        )
    } else if workload.ready >= workload.wanted {
        Verdict::new("ProcessorsReady", "True", "Ready", message)
    } else {
        let hint = format!(
            "{message}; look with: kubectl -n {} get pods -l {}={}",
            found.key.namespace,
            names::PIPELINE_LABEL,
            found.key.name
        );
        Verdict::new("ProcessorsReady", "False", "NotReady", hint)
    }
}

fn rollout_verdict(found: &Found, judgement: &Judgement) -> Verdict {
    let kind = "RolloutComplete";
    let Some(rollout) = &judgement.rollout else {
        return Verdict::new(
            kind,
            "Unknown",
            "NotDecided",
            "topic, store or settings do not allow a decision yet",
        );
    };
    let (wanted, key) = (&rollout.wanted, &found.key);
    if let Some((revision, gone)) = &rollout.impossible {
        let message = format!(
            "revision {revision} cannot be made live: {gone}; take the wish back with: kubectl -n {} annotate sp {} {}- \
             and put its settings into spec.settings, which starts a new instance of them",
            key.namespace,
            key.name,
            names::PROMOTE
        );
        return Verdict::new(kind, "False", "CannotPromote", message);
    }
    match rollout.state {
        RolloutState::Complete => Verdict::new(kind, "True", "Live", format!("revision {wanted} is live")),
        RolloutState::CatchingUp => {
            let replayed = replayed(found, &wanted.to_string()).unwrap_or_else(|| "nothing".to_owned());
            Verdict::new(
                kind,
                "False",
                CATCHING_UP,
                format!("revision {wanted} replays the log: {replayed} of its history"),
            )
        }
        RolloutState::AwaitingPromotion => Verdict::new(
            kind,
            "False",
            "ShadowNotYet",
            format!(
                "revision {wanted} has caught up; judging by outcomes is not there yet: kubectl assay promote {} -n {}",
                key.name, key.namespace
            ),
        ),
        RolloutState::Rejected => Verdict::new(
            kind,
            "False",
            "Rejected",
            format!("revision {wanted} was refused; change spec.settings"),
        ),
        RolloutState::PutOff => Verdict::new(
            kind,
            "False",
            "UpgradePending",
            "this release's engine gives other results; a new revision starts when processors run again",
        ),
    }
}

fn ready_verdict(found: &Found, judgement: &Judgement, failure: Option<&str>, processors: &Verdict) -> Verdict {
    if let Some(hold) = &judgement.hold {
        return Verdict::new("Ready", "False", hold_reason(hold), hold.to_string());
    }
    if let Some(failure) = failure {
        return Verdict::new("Ready", "False", "ApplyFailed", failure);
    }
    if processors.status != "True" {
        return Verdict::new("Ready", "False", processors.reason, processors.message.clone());
    }
    match found.view.as_ref().ok().and_then(|view| view.live.as_deref()) {
        Some(live) => Verdict::new("Ready", "True", "Ready", format!("revision {live} is live")),
        None => Verdict::new(
            "Ready",
            "False",
            "NoLiveRevision",
            "the first revision is being registered",
        ),
    }
}

/// One word for a hold, in conditions and events.
#[must_use]
pub fn hold_reason(hold: &Hold) -> &'static str {
    match hold {
        Hold::Settings(_) => "SettingsInvalid",
        Hold::Secret(_) => "SecretUnusable",
        Hold::Topic { .. } => "TopicsNotReady",
        Hold::Store(_) => "StoreUnavailable",
        Hold::Forgotten { .. } => "StoreForgot",
        Hold::UpgradePending(_) => "UpgradePending",
        Hold::Offsets(_) => "OffsetsUnknown",
    }
}

/// Whether only a person can help.
#[must_use]
pub fn is_stalled(judgement: &Judgement) -> bool {
    match &judgement.hold {
        Some(Hold::Settings(_) | Hold::Forgotten { .. }) => true,
        Some(Hold::Secret(error)) => !error.may_pass(),
        Some(Hold::Topic { state, .. }) => matches!(state, TopicState::Mismatch | TopicState::Conflict),
        _ => false,
    }
}

/// Conditions that are there only while they hold.
fn extra_verdicts(found: &Found) -> Vec<Verdict> {
    let spec = &found.pipeline.spec;
    let mut verdicts = Vec::new();
    if found.auto_creation == Some(true) {
        let message = "the brokers create topics by themselves, with their own partition count; set auto.create.topics.enable=false";
        verdicts.push(Verdict::new("BrokerAutoCreation", "True", "Enabled", message));
    }
    if spec.scaling.mode != ScalingMode::Manual {
        let message = format!(
            "scaling.mode {:?} is not there yet; processor.replicas is obeyed",
            spec.scaling.mode
        );
        verdicts.push(Verdict::new("ScalingActive", "False", "NotYet", message));
    }
    let missing = found.view.as_ref().is_ok_and(|view| view.schema_missing);
    if missing && spec.results.postgres.migrations == Migrations::External {
        let message = format!(
            "schema {} has no tables; run the SQL of: assay migrate --print-sql",
            spec.results.postgres.schema
        );
        verdicts.push(Verdict::new("SchemaOutdated", "True", "Missing", message));
    }
    verdicts
}

#[cfg(test)]
mod tests;
