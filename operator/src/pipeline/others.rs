//! What the other pipelines mean for one: who names its topics too, who claims them, who is moving to another revision. Pure.

use std::collections::BTreeSet;

use assay_crds::spec::Management;
use assay_crds::{StrategyPipeline, StrategyPipelineStatus};
use kube::ResourceExt;

use super::status::CATCHING_UP;
use crate::names::{PAUSED, PipelineKey};
use crate::topics::{Claim, names, wishes};

/// Claims of other pipelines that are to stay, on topics of this one; `ids` are those of its topics.
pub(super) fn claims_beside(
    pipeline: &StrategyPipeline,
    ids: &BTreeSet<String>,
    others: &[&StrategyPipeline],
) -> Vec<Claim> {
    let beside = staying_beside(pipeline, ids, others);
    beside.into_iter().flat_map(claims_of).collect()
}

/// Topics of this pipeline that another one names, which is to stay: whoever only looks at a topic reads it all the same.
pub(super) fn named_beside(
    pipeline: &StrategyPipeline,
    ids: &BTreeSet<String>,
    others: &[&StrategyPipeline],
) -> BTreeSet<String> {
    let beside = staying_beside(pipeline, ids, others);
    let named: BTreeSet<&str> = beside.into_iter().flat_map(|other| names(&other.spec)).collect();
    let own = names(&pipeline.spec).filter(|name| named.contains(name));
    own.map(str::to_owned).collect()
}

/// Pipelines that name a topic of this one in the same Kafka cluster and are not being deleted.
fn staying_beside<'a>(
    pipeline: &StrategyPipeline,
    ids: &BTreeSet<String>,
    others: &[&'a StrategyPipeline],
) -> Vec<&'a StrategyPipeline> {
    // Few of hundreds do: the rest costs a comparison each.
    let meets = |other: &StrategyPipeline| {
        names(&other.spec).any(|name| names(&pipeline.spec).any(|own| own == name))
            && other.metadata.deletion_timestamp.is_none()
    };
    let beside = others.iter().copied().filter(|other| meets(other));
    beside.filter(|other| is_same_cluster(pipeline, ids, other)).collect()
}

/// One server in common, or a topic of one id: two pipelines may reach a cluster by other listeners, and name its servers in any order.
fn is_same_cluster(pipeline: &StrategyPipeline, ids: &BTreeSet<String>, other: &StrategyPipeline) -> bool {
    let topics = other.status.iter().flat_map(|status| &status.topics);
    let mut told = topics.filter_map(|topic| topic.id.as_ref());
    !servers(pipeline).is_disjoint(&servers(other)) || told.any(|id| ids.contains(id))
}

fn servers(pipeline: &StrategyPipeline) -> BTreeSet<String> {
    let list = pipeline.spec.kafka.bootstrap_servers.split(',');
    list.map(|server| server.trim().to_ascii_lowercase()).collect()
}

/// Who only looks at a topic claims nothing.
pub(super) fn claims_of(pipeline: &StrategyPipeline) -> Vec<Claim> {
    let key = PipelineKey::of(pipeline);
    let created = pipeline
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(0, |time| time.0.as_second());
    wishes(&pipeline.spec)
        .into_iter()
        .filter(|wish| wish.management == Management::Managed)
        .map(|wish| Claim {
            pipeline: format!("{}/{}", key.namespace, key.name),
            age: (created, key.uid.clone()),
            wish,
        })
        .collect()
}

/// Whether nothing of a pipeline moves because a person wants it so: no pod of it runs, or nobody looks after those that do.
pub(super) fn is_at_rest(pipeline: &StrategyPipeline) -> bool {
    is_paused(pipeline) || pipeline.spec.suspend || pipeline.spec.processor.replicas == 0
}

pub(super) fn is_paused(pipeline: &StrategyPipeline) -> bool {
    pipeline.annotations().get(PAUSED).is_some_and(|value| value == "true")
}

/// Uids of pipelines whose candidate replays the log. One that waits for a person, or is at rest, costs nobody a turn.
pub(super) fn moving(others: &[&StrategyPipeline]) -> BTreeSet<String> {
    let catches_up = |status: &StrategyPipelineStatus| {
        let mut reasons = status.conditions.iter().map(|condition| condition.reason.as_str());
        status.candidate_revision.is_some() && reasons.any(|reason| reason == CATCHING_UP)
    };
    let moving = others
        .iter()
        .filter(|other| !is_at_rest(other) && other.status.as_ref().is_some_and(catches_up));
    moving.filter_map(|other| other.uid()).collect()
}

#[cfg(test)]
mod tests {
    use assay_crds::load_pipeline;
    use assay_crds::status::TopicStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use rstest::rstest;

    use super::*;

    const MAJORS: &str = include_str!("../../../crds/tests/documents/majors.yaml");

    /// On the topic `raw.trades`, by these servers.
    fn pipeline(servers: &str) -> StrategyPipeline {
        let mut pipeline = load_pipeline(MAJORS).unwrap();
        pipeline.spec.kafka.bootstrap_servers = servers.to_owned();
        pipeline
    }

    /// Whether the topic of a pipeline at `a:1,b:1` with the id `7f` is named by the other one.
    fn is_named(other: &StrategyPipeline) -> bool {
        let ids = BTreeSet::from(["7f".to_owned()]);
        let named = named_beside(&pipeline("a:1,b:1"), &ids, &[other]);
        !named.is_empty()
    }

    #[test]
    fn who_only_looks_at_a_topic_names_it_and_claims_nothing() {
        let mut other = pipeline("a:1,b:1");
        other.spec.source.management = Management::Observed;
        assert!(is_named(&other));
        assert_eq!(claims_beside(&pipeline("a:1,b:1"), &BTreeSet::new(), &[&other]), []);
    }

    #[test]
    fn servers_may_be_named_in_any_order_and_number() {
        for servers in ["b:1,a:1", "B:1", "c:1,a:1"] {
            assert!(is_named(&pipeline(servers)), "{servers}");
        }
        assert!(!is_named(&pipeline("a:2,c:1")));
    }

    #[test]
    fn a_topic_of_one_id_is_one_topic_whatever_listener_leads_to_it() {
        let mut other = pipeline("elsewhere:9094");
        let topic = |id: &str| TopicStatus {
            id: Some(id.to_owned()),
            ..TopicStatus::default()
        };
        other.status.get_or_insert_default().topics = vec![topic("7f")];
        assert!(is_named(&other));
        other.status.get_or_insert_default().topics = vec![topic("80")];
        assert!(!is_named(&other));
    }

    #[test]
    fn who_is_being_deleted_names_nothing() {
        let mut other = pipeline("a:1,b:1");
        other.metadata.deletion_timestamp = Some(Time(k8s_openapi::jiff::Timestamp::now()));
        assert!(!is_named(&other));
    }

    /// One whose candidate replays the log.
    fn catching_up() -> StrategyPipeline {
        let mut pipeline = pipeline("a:1");
        pipeline.metadata.uid = Some("one".into());
        let condition = Condition {
            type_: "RolloutComplete".into(),
            status: "False".into(),
            reason: CATCHING_UP.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::now()),
        };
        let status = pipeline.status.get_or_insert_default();
        status.candidate_revision = Some("0123456789-2".into());
        status.conditions = vec![condition];
        pipeline
    }

    #[rstest]
    #[case::suspended(|p: &mut StrategyPipeline| p.spec.suspend = true)]
    #[case::without_pods(|p: &mut StrategyPipeline| p.spec.processor.replicas = 0)]
    #[case::paused(|p: &mut StrategyPipeline| { p.annotations_mut().insert(PAUSED.into(), "true".into()); })]
    fn who_is_at_rest_holds_no_turn(#[case] rest: fn(&mut StrategyPipeline)) {
        let mut pipeline = catching_up();
        assert_eq!(moving(&[&pipeline]).len(), 1);
        rest(&mut pipeline);
        assert_eq!(moving(&[&pipeline]), BTreeSet::new());
    }
}
