//! The judgement on what was found: pure. It says what is wrong, what holds everything back, and which revisions run with how many pods.

use std::collections::BTreeMap;

use assay_crds::{ENGINE_SEMANTICS, Problems, RevisionInputs, RevisionInstance, canonical_settings};

use super::build::RevisionBlueprint;
use super::dereference::Found;
use super::others::is_at_rest;
use crate::context::Settings;
use crate::kafka::Bounds;
use crate::names;
use crate::rollout::{Known, Rollout, RolloutInput, decide, instance_of, start_offsets};
use crate::secrets::SecretError;
use crate::store::{StoreError, StoreView, StoredRevision};
use crate::topics::{Standing, TopicPlan, TopicState, plan, standing, wishes};

/// Why workloads stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// The document is wrong.
    #[error("{0}")]
    Settings(Problems),
    /// A Secret cannot be used.
    #[error("{0}")]
    Secret(SecretError),
    /// A topic is not as it must be.
    #[error("{message}")]
    Topic {
        /// Where it stands.
        state: TopicState,
        /// What to do.
        message: String,
    },
    /// The result store cannot be read: which revision is live is not known.
    #[error("{0}")]
    Store(StoreError),
    /// The store does not know what status calls live: it is another database, or an empty one. To start anew would replace what runs.
    #[error(
        "the result store does not know that revision {live} is live: it is empty, or another database; correct the Secret that \
         spec.results.postgres.secret names or restore the database, or start anew: kubectl -n {namespace} patch sp {name} \
         --subresource=status --type=merge -p '{{\"status\":{{\"liveRevision\":null}}}}'"
    )]
    Forgotten {
        /// What was live.
        live: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A release changed what the engine means, and enough pipelines are replaying for it.
    #[error(
        "waiting for others: {0} pipelines are moving to this release's engine; --max-concurrent-upgrades raises the limit"
    )]
    UpgradePending(usize),
    /// The log's bounds could not be read, and a new revision must not guess where to start.
    #[error(
        "the offsets of topic {0} could not be read for every partition; trying again: a new revision must not guess where to start"
    )]
    Offsets(String),
}

/// What was judged.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What is wrong with the document.
    pub problems: Option<Problems>,
    /// The decision on each topic.
    pub topics: Vec<TopicPlan>,
    /// The decision on revisions; `None` where it could not be made.
    pub rollout: Option<Rollout>,
    /// Revisions that are to run.
    pub runs: Vec<RevisionBlueprint>,
    /// Why workloads stay as they are.
    pub hold: Option<Hold>,
}

/// Judges.
#[must_use]
pub fn validate(found: &Found, settings: &Settings) -> Judgement {
    let topics = topic_plans(found);
    let problems = problems(found);
    let mut judgement = Judgement {
        topics,
        problems,
        rollout: rollout(found),
        runs: Vec::new(),
        hold: None,
    };
    if is_at_rest(&found.pipeline) && is_upgrade(found, &judgement) {
        judgement.rollout = judgement.rollout.map(Rollout::put_off);
    }
    judgement.hold = hold(found, &judgement, settings.max_concurrent_upgrades);
    if judgement.hold.is_none()
        && let Some(rollout) = &judgement.rollout
    {
        match runs(found, rollout, &settings.cluster) {
            Ok(runs) => judgement.runs = runs,
            Err(hold) => judgement.hold = Some(hold),
        }
    }
    judgement
}

/// The rules that the API server checked are checked again: it may have let an object in before they existed.
fn problems(found: &Found) -> Option<Problems> {
    let mut document = serde_json::to_value(&*found.pipeline).ok()?;
    if let Some(map) = document.as_object_mut() {
        map.remove("status");
    }
    assay_crds::document::check_document(&document).err()
}

/// The decision on each topic.
pub(super) fn topic_plans(found: &Found) -> Vec<TopicPlan> {
    let decide = |wish| {
        let own = found.claims.iter().find(|claim| claim.wish == wish);
        let standing = own.map_or(Standing::Owner, |own| standing(own, &found.other_claims));
        let topic = found.topics.get(&wish.name).cloned().unwrap_or(Ok(None));
        plan(&wish, &standing, &topic)
    };
    wishes(&found.pipeline.spec).into_iter().map(decide).collect()
}

/// The decision on revisions; `None` where the topic, the store or the settings do not allow one.
#[must_use]
pub fn rollout(found: &Found) -> Option<Rollout> {
    let settings = canonical_settings(&found.pipeline.spec.settings).ok()?;
    let topic = found
        .topics
        .get(&found.pipeline.spec.source.topic)?
        .as_ref()
        .ok()?
        .as_ref()?;
    let view = found.view.as_ref().ok()?;
    let no_bounds = Bounds::new();
    let known = known(found, view);
    let annotations = found.pipeline.metadata.annotations.as_ref();
    let annotation = |name: &str| annotations.and_then(|all| all.get(name)).map(String::as_str);
    Some(decide(&RolloutInput {
        inputs: RevisionInputs {
            settings: &settings,
            engine_semantics: ENGINE_SEMANTICS,
            topic_identity: &topic.description.id,
            partitions: topic.description.partitions,
        },
        known: &known,
        live: view.live.as_deref(),
        bounds: found.bounds.as_ref().unwrap_or(&no_bounds),
        strategy: found.pipeline.spec.rollout.strategy,
        promote: annotation(names::PROMOTE),
        reject: annotation(names::REJECT),
    }))
}

/// Rows in the store know better than ConfigMaps: they have progress.
fn known(found: &Found, view: &StoreView) -> BTreeMap<String, Known> {
    let is_running = |id: &String| found.workloads.contains_key(id);
    let told = found.instances.iter().map(|(id, instance)| Known {
        topic_identity: instance.topic_identity.clone(),
        partitions: instance.partitions,
        engine_semantics: instance.engine_semantics,
        is_running: is_running(id),
        progress: BTreeMap::new(),
    });
    let stored = view.revisions.iter().map(|(id, stored)| Known {
        topic_identity: stored.topic_identity.clone(),
        partitions: stored.partitions,
        engine_semantics: stored.engine_semantics,
        is_running: is_running(id),
        progress: stored.progress.clone(),
    });
    let mut known: BTreeMap<String, Known> = found.instances.keys().cloned().zip(told).collect();
    known.extend(view.revisions.keys().cloned().zip(stored));
    known
}

/// The first thing that holds workloads back, in the order in which a person would mend them.
fn hold(found: &Found, judgement: &Judgement, most_upgrades: usize) -> Option<Hold> {
    if let Some(problems) = &judgement.problems {
        return Some(Hold::Settings(problems.clone()));
    }
    if let Some(error) = found.secrets.problem() {
        return Some(Hold::Secret(error.clone()));
    }
    if let Some(topic) = judgement.topics.iter().find(|topic| !topic.state.lets_processors_run()) {
        return Some(Hold::Topic {
            state: topic.state,
            message: topic.message.clone(),
        });
    }
    if let Err(error) = &found.view {
        return Some(Hold::Store(error.clone()));
    }
    if let Some(live) = forgotten(found, judgement.rollout.as_ref()) {
        return Some(Hold::Forgotten {
            live: live.to_owned(),
            namespace: found.key.namespace.clone(),
            name: found.key.name.clone(),
        });
    }
    let moving = found.moving.len();
    let starts = is_upgrade(found, judgement) && !is_at_rest(&found.pipeline);
    (starts && moving >= most_upgrades).then_some(Hold::UpgradePending(moving))
}

/// The revision that status calls live where the store calls none so. A store that only lost the word may be told again: it still has
/// the rows of that very revision.
fn forgotten<'a>(found: &'a Found, rollout: Option<&Rollout>) -> Option<&'a str> {
    let view = found.view.as_ref().ok()?;
    let told = found.pipeline.status.as_ref()?.live_revision.as_deref()?;
    let is_told_again = view.revisions.contains_key(told) && rollout.is_some_and(|r| r.wanted.to_string() == told);
    (view.live.is_none() && !is_told_again).then_some(told)
}

/// Whether a new revision would start only because this build's engine means something else.
pub(super) fn is_upgrade(found: &Found, judgement: &Judgement) -> bool {
    let Ok(view) = &found.view else { return false };
    let live = view.live.as_ref().and_then(|live| view.revisions.get(live));
    let starts = judgement.rollout.as_ref().is_some_and(|rollout| rollout.is_new);
    starts && live.is_some_and(|live| live.engine_semantics != ENGINE_SEMANTICS)
}

/// What each running revision's processors are told, and how many there are.
fn runs(found: &Found, rollout: &Rollout, cluster: &str) -> Result<Vec<RevisionBlueprint>, Hold> {
    let live = found.view.as_ref().ok().and_then(|view| view.live.as_deref());
    let blueprint = |revision: &String| {
        let instance = instance(found, rollout, revision, cluster)?;
        let is_live = live.is_none_or(|live| live == revision);
        Ok(RevisionBlueprint {
            image: image_to_keep(found, &instance),
            instance,
            replicas: replicas(found, is_live),
        })
    };
    rollout.run.iter().map(blueprint).collect()
}

/// The image of a revision that another engine made: this release's processors would refuse it, and those that run go on until the
/// candidate takes over.
fn image_to_keep(found: &Found, instance: &RevisionInstance) -> Option<String> {
    let workload = found.workloads.get(&instance.revision)?;
    let image = workload.image.clone();
    image.filter(|_| instance.engine_semantics != ENGINE_SEMANTICS)
}

fn instance(found: &Found, rollout: &Rollout, revision: &str, cluster: &str) -> Result<RevisionInstance, Hold> {
    let stored = found.view.as_ref().ok().and_then(|view| view.revisions.get(revision));
    if let Some(instance) = found.instances.get(revision) {
        let instance = instance.clone();
        return Ok(match stored {
            Some(stored) => instance_of(instance, &stored.progress),
            None => instance,
        });
    }
    if let Some(stored) = stored {
        return Ok(instance_of(
            blank_instance(found, revision, cluster, stored),
            &stored.progress,
        ));
    }
    new_instance(found, &rollout.wanted.to_string(), cluster)
}

fn blank_instance(found: &Found, revision: &str, cluster: &str, stored: &StoredRevision) -> RevisionInstance {
    RevisionInstance {
        pipeline: found.key.uid.clone(),
        cluster: cluster.to_owned(),
        namespace: found.key.namespace.clone(),
        name: found.key.name.clone(),
        revision: revision.to_owned(),
        engine_semantics: stored.engine_semantics,
        topic: found.pipeline.spec.source.topic.clone(),
        topic_identity: stored.topic_identity.clone(),
        partitions: stored.partitions,
        settings: stored.settings.clone(),
        offsets: Vec::new(),
    }
}

/// A revision that starts now: its offsets are decided here, once.
fn new_instance(found: &Found, revision: &str, cluster: &str) -> Result<RevisionInstance, Hold> {
    let source = &found.pipeline.spec.source;
    let unknown = || Hold::Offsets(source.topic.clone());
    let bounds = found.bounds.as_ref().map_err(|_| unknown())?;
    let at_history = found.at_history.as_ref().ok_or_else(unknown)?;
    let offsets = start_offsets(source.partitions, bounds, at_history).ok_or_else(unknown)?;
    let topic = found
        .topics
        .get(&source.topic)
        .and_then(|topic| topic.as_ref().ok()?.as_ref())
        .ok_or_else(unknown)?;
    let stored = StoredRevision {
        settings: canonical_settings(&found.pipeline.spec.settings).map_err(Hold::Settings)?,
        engine_semantics: ENGINE_SEMANTICS,
        topic_identity: topic.description.id.clone(),
        partitions: topic.description.partitions,
        progress: BTreeMap::new(),
    };
    Ok(RevisionInstance {
        offsets,
        ..blank_instance(found, revision, cluster, &stored)
    })
}

/// Pods of a revision: what the manifest says, at most one a partition; a candidate gets at most `maxExtraReplicas`; none where suspended.
fn replicas(found: &Found, is_live: bool) -> i32 {
    let spec = &found.pipeline.spec;
    if spec.suspend {
        return 0;
    }
    let wanted = spec.processor.replicas.clamp(0, spec.source.partitions);
    if is_live {
        wanted
    } else {
        wanted.min(spec.rollout.max_extra_replicas)
    }
}

#[cfg(test)]
pub(crate) mod tests;
