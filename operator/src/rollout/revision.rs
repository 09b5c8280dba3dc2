//! The decision on revisions: reuse an instance, start the next one, promote, wait.

use std::collections::{BTreeMap, BTreeSet};

use assay_crds::spec::RolloutStrategy;
use assay_crds::{InstanceOffsets, RevisionId, RevisionInputs, RevisionInstance};

use crate::kafka::Bounds;
use crate::store::StoredProgress;

/// A candidate may take over when its worst watermark is at most this far behind the live one's, microseconds.
const CAUGHT_UP_WITHIN_US: i64 = 5_000_000;

/// A revision that has an instance already: rows in the store, a ConfigMap, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Id of the topic whose log it reads; empty where the brokers give none.
    pub topic_identity: String,
    /// Partitions of that topic.
    pub partitions: i32,
    /// Meaning of the engine's step function that it was made for.
    pub engine_semantics: u32,
    /// Whether its Deployment is there.
    pub is_running: bool,
    /// Progress by partition; empty before its first processor registered it.
    pub progress: BTreeMap<i32, StoredProgress>,
}

/// Why a revision that a person named cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its log was deleted.
    #[error("the topic was deleted and created anew since, and its progress belongs to the log before")]
    Log,
    /// The topic grew.
    #[error("the topic has another number of partitions since")]
    Partitions,
    /// Retention passed its progress.
    #[error("the topic's retention has deleted records that it has still to read")]
    Records,
    /// No processor of its engine is there any more.
    #[error("a release with another engine computed it, and none of its processors is left")]
    Engine,
}

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct RolloutInput<'a> {
    /// What the document hashes to now.
    pub inputs: RevisionInputs<'a>,
    /// Instances by id.
    pub known: &'a BTreeMap<String, Known>,
    /// The live revision.
    pub live: Option<&'a str>,
    /// The log's bounds; a missing partition is unknown.
    pub bounds: &'a Bounds,
    /// When a candidate takes over.
    pub strategy: RolloutStrategy,
    /// A revision that somebody wants live.
    pub promote: Option<&'a str>,
    /// A revision that somebody refused.
    pub reject: Option<&'a str>,
}

/// Where the rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    /// The wanted revision is live.
    Complete,
    /// The wanted revision replays the log.
    CatchingUp,
    /// It could take over, and a person has to say so.
    AwaitingPromotion,
    /// The wanted revision was refused by a person.
    Rejected,
    /// The wanted revision starts when processors may run again.
    PutOff,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// What the document wants, or what a person asked to go back to.
    pub wanted: RevisionId,
    /// Whether the wanted instance exists nowhere yet: its offsets are to be resolved.
    pub is_new: bool,
    /// Revisions that run: the live one, and the wanted one where it is another.
    pub run: BTreeSet<String>,
    /// To be made live now, and who wants it.
    pub promote: Option<&'static str>,
    /// Where it stands.
    pub state: RolloutState,
    /// A revision that a person named and that cannot go on. Until the wish is taken back nothing takes over from what is live.
    pub impossible: Option<(RevisionId, Gone)>,
}

impl Rollout {
    /// Leaves what is live as it is, and starts nothing beside it.
    #[must_use]
    pub fn put_off(mut self) -> Self {
        self.run.remove(&self.wanted.to_string());
        Self {
            promote: None,
            state: RolloutState::PutOff,
            ..self
        }
    }
}

/// Decides which revisions run and whether the wanted one takes over.
#[must_use]
pub fn decide(input: &RolloutInput<'_>) -> Rollout {
    let (named, impossible) = match named(input) {
        Some((id, None)) => (Some(id), None),
        Some((id, Some(gone))) => (None, Some((id, gone))),
        None => (None, None),
    };
    let by_hand = named.is_some();
    let (wanted, is_new) = named.map_or_else(|| by_settings(input), |named| (named, false));
    let name = wanted.to_string();
    let live = input.live.map(str::to_owned);
    let is_live = live.as_deref() == Some(name.as_str());
    let is_refused = !by_hand && !is_live && input.reject == Some(name.as_str());
    let mut run: BTreeSet<String> = live.clone().into_iter().collect();
    if !is_refused {
        run.insert(name.clone());
    }
    let (state, promote) = if is_live {
        (RolloutState::Complete, None)
    } else if is_refused {
        (RolloutState::Rejected, None)
    } else {
        takeover(input, &name, by_hand)
    };
    Rollout {
        wanted,
        is_new,
        run,
        promote: promote.filter(|_| impossible.is_none() || live.is_none()),
        state,
        impossible,
    }
}

/// The known revision that a person named, and why it cannot go on. What is live already need not be able to.
fn named(input: &RolloutInput<'_>) -> Option<(RevisionId, Option<Gone>)> {
    let name = input.promote?;
    let known = input.known.get(name)?;
    let id = name.parse().ok()?;
    let is_live = input.live == Some(name);
    Some((id, gone(known, input).filter(|_| !is_live)))
}

fn gone(known: &Known, input: &RolloutInput<'_>) -> Option<Gone> {
    let now = &input.inputs;
    if !is_one_log(&known.topic_identity, now.topic_identity) {
        Some(Gone::Log)
    } else if known.partitions != now.partitions {
        Some(Gone::Partitions)
    } else if !is_resumable(known, input.bounds) {
        Some(Gone::Records)
    } else if known.engine_semantics != now.engine_semantics && !known.is_running {
        Some(Gone::Engine)
    } else {
        None
    }
}

/// Whether two ids name one log; brokers that give none leave it open.
fn is_one_log(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one == other
}

/// The instance that the document wants, and whether it is new.
fn by_settings(input: &RolloutInput<'_>) -> (RevisionId, bool) {
    let hash = input.inputs.hash();
    let instances = input
        .known
        .iter()
        .filter_map(|(name, known)| Some((name.parse::<RevisionId>().ok()?, known)));
    let latest = instances
        .filter(|(id, _)| id.hash() == hash)
        .max_by_key(|(id, _)| id.ordinal());
    match latest {
        None => (input.inputs.id(1), true),
        Some((id, known)) if is_resumable(known, input.bounds) => (id, false),
        Some((id, _)) => (input.inputs.id(id.ordinal() + 1), true),
    }
}

/// Whether everything the instance has still to read is in the log. A partition whose bounds are unknown does not speak against it, nor
/// does progress beyond the log's end: the bounds may be seconds older, and a topic made anew has another identity.
fn is_resumable(known: &Known, bounds: &Bounds) -> bool {
    let is_there = |(partition, progress): (&i32, &StoredProgress)| {
        bounds
            .get(partition)
            .is_none_or(|log| log.start <= progress.next_offset)
    };
    known.progress.iter().all(is_there)
}

fn takeover(input: &RolloutInput<'_>, name: &str, by_hand: bool) -> (RolloutState, Option<&'static str>) {
    let Some(candidate) = input.known.get(name).filter(|known| !known.progress.is_empty()) else {
        return (RolloutState::CatchingUp, None);
    };
    // Where nothing is live, readers get the first revision at once.
    let live = input.live.and_then(|live| input.known.get(live));
    let caught_up = live.is_none_or(|live| is_caught_up(candidate, live));
    let first = input.live.is_none();
    match (caught_up, input.strategy) {
        (false, _) => (RolloutState::CatchingUp, None),
        (true, _) if by_hand => (RolloutState::CatchingUp, Some("person")),
        (true, RolloutStrategy::Immediate) => (RolloutState::CatchingUp, Some("operator")),
        (true, RolloutStrategy::Shadow) if first => (RolloutState::CatchingUp, Some("operator")),
        (true, RolloutStrategy::Shadow) => (RolloutState::AwaitingPromotion, None),
    }
}

/// Whether a candidate's worst watermark is near the live one's. In a partition where the live revision has read nothing there is
/// nothing to catch up with; one that stands where the live one stands is caught up whatever the clock of the trades says. Where the
/// live one's log is gone, it goes nowhere any more, and offsets of two logs say nothing of each other: the candidate has caught up
/// with what there was when it began.
#[must_use]
pub fn is_caught_up(candidate: &Known, live: &Known) -> bool {
    let one_log = is_one_log(&candidate.topic_identity, &live.topic_identity);
    live.progress.iter().all(|(partition, live)| {
        let Some(candidate) = candidate.progress.get(partition) else {
            return false;
        };
        let near = match (candidate.watermark_us, live.watermark_us) {
            (_, None) => true,
            (Some(candidate), Some(live)) => candidate >= live - CAUGHT_UP_WITHIN_US,
            (None, Some(_)) => false,
        };
        let goal = if one_log {
            live.next_offset
        } else {
            candidate.live_from_offset
        };
        near || candidate.next_offset >= goal
    })
}

/// Start offsets of a new instance: the first record inside the history window, the log's end where that is empty, and the log's end now.
///
/// `None` where a partition is unknown: a guess would never be mended.
#[must_use]
pub fn start_offsets(
    partitions: i32,
    bounds: &Bounds,
    at_history: &BTreeMap<i32, Option<i64>>,
) -> Option<Vec<InstanceOffsets>> {
    let resolve = |partition: i32| {
        let log = bounds.get(&partition)?;
        let start = at_history.get(&partition)?.unwrap_or(log.end);
        Some(InstanceOffsets {
            partition,
            start_offset: start.clamp(log.start, log.end),
            live_from_offset: log.end,
        })
    };
    (0..partitions).map(resolve).collect()
}

/// The offsets of an instance that has rows in the store: those are the ones that hold.
#[must_use]
pub fn instance_of(instance: RevisionInstance, progress: &BTreeMap<i32, StoredProgress>) -> RevisionInstance {
    let stored = progress.iter().map(|(&partition, row)| InstanceOffsets {
        partition,
        start_offset: row.start_offset,
        live_from_offset: row.live_from_offset,
    });
    let offsets: Vec<InstanceOffsets> = stored.collect();
    if offsets.is_empty() {
        instance
    } else {
        RevisionInstance { offsets, ..instance }
    }
}

#[cfg(test)]
mod tests;
