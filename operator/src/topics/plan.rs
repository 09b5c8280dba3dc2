//! The pure decision on one topic: what to do, and what to say about it.

use std::collections::BTreeMap;

use assay_crds::StrategyPipelineSpec;
use assay_crds::spec::{DeletionPolicy, Management};

use super::ownership::Standing;
use crate::kafka::{KafkaError, TopicFound};

/// A topic as a pipeline wants it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicWish {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Copies of each.
    pub replication_factor: i32,
    /// Settings that are held.
    pub settings: BTreeMap<String, String>,
    /// Created and repaired by us, or only looked at.
    pub management: Management,
    /// What happens to it when the pipeline goes.
    pub deletion: DeletionPolicy,
}

impl TopicWish {
    /// Where two wishes for one topic differ, told from the first one's side.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut parts = Vec::new();
        if self.partitions != other.partitions {
            parts.push(format!("partitions {} against {}", self.partitions, other.partitions));
        }
        if self.replication_factor != other.replication_factor {
            parts.push(format!(
                "replicationFactor {} against {}",
                self.replication_factor, other.replication_factor
            ));
        }
        if self.settings != other.settings {
            parts.push(format!("config {:?} against {:?}", self.settings, other.settings));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What the spec wants: the source, and the dead letters where they are named. The dead letters follow the source's management.
#[must_use]
pub fn wishes(spec: &StrategyPipelineSpec) -> Vec<TopicWish> {
    let source = TopicWish {
        name: spec.source.topic.clone(),
        partitions: spec.source.partitions,
        replication_factor: spec.source.replication_factor,
        settings: spec.source.config.clone(),
        management: spec.source.management,
        deletion: spec.source.deletion_policy,
    };
    let dead = spec.dead_letters.as_ref().map(|dead| TopicWish {
        name: dead.topic.clone(),
        partitions: dead.partitions,
        replication_factor: dead.replication_factor,
        settings: BTreeMap::new(),
        ..source.clone()
    });
    std::iter::once(source).chain(dead).collect()
}

/// Names of the topics that a pipeline names.
pub fn names(spec: &StrategyPipelineSpec) -> impl Iterator<Item = &str> {
    let dead = spec.dead_letters.as_ref().map(|dead| dead.topic.as_str());
    std::iter::once(spec.source.topic.as_str()).chain(dead)
}

/// Where a topic stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    /// As wanted.
    Ready,
    /// Not there; being created, or awaited from its owner.
    Missing,
    /// There in another form that nobody may change.
    Mismatch,
    /// A setting differs; being repaired.
    Drifted,
    /// An older pipeline wants it otherwise.
    Conflict,
    /// Its form is right, and its settings may not be read.
    SettingsUnknown,
    /// It could not be looked at.
    Unknown,
}

impl TopicState {
    /// Whether processors may run: partitions and copies are as stated. Drift is repaired beside them, and settings that may not be read
    /// are no reason to stop.
    #[must_use]
    pub fn lets_processors_run(self) -> bool {
        matches!(self, Self::Ready | Self::Drifted | Self::SettingsUnknown)
    }

    /// As shown in status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Missing => "Missing",
            Self::Mismatch => "Mismatch",
            Self::Drifted => "Drifted",
            Self::Conflict => "Conflict",
            Self::SettingsUnknown | Self::Unknown => "Unknown",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicAction {
    /// Create it.
    Create,
    /// Set these keys, and no other.
    Set(BTreeMap<String, String>),
}

/// The decision on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// What is wanted.
    pub wish: TopicWish,
    /// The pipeline that owns it, where it is another one.
    pub owner: Option<String>,
    /// Where it stands.
    pub state: TopicState,
    /// What differs, and what to do about it; empty where all is well.
    pub message: String,
    /// What to do now.
    pub action: Option<TopicAction>,
    /// Id, where it exists.
    pub id: Option<String>,
    /// Partitions and copies found.
    pub found: Option<(i32, i32)>,
}

/// Decides on one topic.
#[must_use]
pub fn plan(wish: &TopicWish, standing: &Standing, found: &Result<Option<TopicFound>, KafkaError>) -> TopicPlan {
    let mut plan = TopicPlan {
        wish: wish.clone(),
        owner: None,
        state: TopicState::Ready,
        message: String::new(),
        action: None,
        id: None,
        found: None,
    };
    if let Ok(Some(topic)) = found {
        plan.id = Some(topic.description.id.clone());
        plan.found = Some((topic.description.partitions, topic.description.replication_factor));
    }
    let (state, message, action) = decide(wish, standing, found);
    plan.owner = owner_of(standing);
    TopicPlan {
        state,
        message,
        action,
        ..plan
    }
}

fn owner_of(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Owner => None,
        Standing::Shares { owner } | Standing::Conflicts { owner, .. } => Some(owner.clone()),
    }
}

type Decision = (TopicState, String, Option<TopicAction>);

fn decide(wish: &TopicWish, standing: &Standing, found: &Result<Option<TopicFound>, KafkaError>) -> Decision {
    if let Standing::Conflicts { owner, difference } = standing {
        let message = format!(
            "topic {} belongs to pipeline {owner}, which wants it otherwise ({difference}); use the same values or another topic",
            wish.name
        );
        return (TopicState::Conflict, message, None);
    }
    match found {
        Err(error) => (TopicState::Unknown, format!("topic {}: {error}", wish.name), None),
        Ok(None) => missing(wish, standing),
        Ok(Some(topic)) => compare(wish, standing, topic),
    }
}

fn missing(wish: &TopicWish, standing: &Standing) -> Decision {
    let name = &wish.name;
    match (wish.management, standing) {
        (Management::Observed, _) => (
            TopicState::Missing,
            format!(
                "topic {name} does not exist and management is Observed; let its owner create it with {} partitions",
                wish.partitions
            ),
            None,
        ),
        (Management::Managed, Standing::Owner) => (
            TopicState::Missing,
            format!("creating topic {name}"),
            Some(TopicAction::Create),
        ),
        (Management::Managed, _) => (
            TopicState::Missing,
            format!("waiting for the owner of topic {name} to create it"),
            None,
        ),
    }
}

fn compare(wish: &TopicWish, standing: &Standing, topic: &TopicFound) -> Decision {
    if let Some(message) = form_problem(wish, topic) {
        return (TopicState::Mismatch, message, None);
    }
    let settings = match &topic.settings {
        Ok(settings) => settings,
        Err(error) => {
            let message = format!("settings of topic {} cannot be read: {error}", wish.name);
            return (TopicState::SettingsUnknown, message, None);
        }
    };
    if let Some(policy) = settings.get("cleanup.policy").filter(|policy| *policy != "delete") {
        let message = format!(
            "topic {} has cleanup.policy={policy}; it must be delete, because compaction loses trades",
            wish.name
        );
        return (TopicState::Mismatch, message, None);
    }
    let drift = drifted(wish, settings);
    if drift.is_empty() {
        return (TopicState::Ready, String::new(), None);
    }
    let text = listed(&drift);
    if wish.management == Management::Managed && *standing == Standing::Owner {
        return (
            TopicState::Drifted,
            format!("setting {text} on topic {}", wish.name),
            Some(TopicAction::Set(drift)),
        );
    }
    (
        TopicState::Mismatch,
        format!(
            "topic {} lacks {text}; let its owner set it, or correct source.config",
            wish.name
        ),
        None,
    )
}

/// What no alteration can mend.
fn form_problem(wish: &TopicWish, topic: &TopicFound) -> Option<String> {
    let (name, found) = (&wish.name, &topic.description);
    if found.partitions != wish.partitions {
        return Some(format!(
            "topic {name} has {} partitions, the manifest says {}; results depend on the count: correct the manifest or use another topic",
            found.partitions, wish.partitions
        ));
    }
    if found.replication_factor != wish.replication_factor {
        return Some(format!(
            "topic {name} has replication factor {}, the manifest says {}; correct the manifest or reassign the partitions",
            found.replication_factor, wish.replication_factor
        ));
    }
    None
}

/// Marks alterations that the brokers accepted and that the next look does not show: they read the value otherwise, or somebody else
/// sets it. Gives whether anything else was carried out.
pub fn mark_what_did_not_take(carried_out: &[TopicPlan], now: &mut [TopicPlan]) -> bool {
    let mut took = false;
    for done in carried_out.iter().filter(|plan| plan.action.is_some()) {
        let again = now
            .iter_mut()
            .find(|plan| plan.wish.name == done.wish.name && plan.action == done.action);
        match (again, &done.action) {
            (Some(plan), Some(TopicAction::Set(settings))) => plan.message = did_not_take(&done.wish.name, settings),
            _ => took = true,
        }
    }
    took
}

fn did_not_take(topic: &str, settings: &BTreeMap<String, String>) -> String {
    format!(
        "the brokers accepted {} on topic {topic} and show another value: write it as they show it in source.config, or find out who else sets it",
        listed(settings)
    )
}

fn listed(settings: &BTreeMap<String, String>) -> String {
    let settings = settings.iter().map(|(key, value)| format!("{key}={value}"));
    settings.collect::<Vec<_>>().join(", ")
}

fn drifted(wish: &TopicWish, settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let differs = |(key, value): &(&String, &String)| settings.get(*key) != Some(*value);
    wish.settings
        .iter()
        .filter(differs)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
