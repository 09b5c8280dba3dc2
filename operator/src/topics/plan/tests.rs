use rstest::rstest;

use super::*;
use crate::kafka::TopicDescription;

fn wish() -> TopicWish {
    TopicWish {
        name: "raw.trades".into(),
        partitions: 12,
        replication_factor: 3,
        settings: BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]),
        ..TopicWish::default()
    }
}

fn topic(partitions: i32, replication_factor: i32, retention: &str) -> TopicFound {
    let settings = [
        ("retention.ms", retention),
        ("cleanup.policy", "delete"),
        ("segment.ms", "7"),
    ];
    TopicFound {
        description: TopicDescription {
            id: "abc".into(),
            partitions,
            replication_factor,
        },
        settings: Ok(settings
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()),
    }
}

fn shares() -> Standing {
    Standing::Shares { owner: "a/b".into() }
}

#[test]
fn a_topic_as_wanted_is_ready_and_left_alone() {
    let plan = plan(&wish(), &Standing::Owner, &Ok(Some(topic(12, 3, "1000"))));
    assert_eq!(
        (plan.state, plan.action, plan.message.as_str()),
        (TopicState::Ready, None, "")
    );
    assert_eq!(plan.id.as_deref(), Some("abc"));
}

#[test]
fn a_missing_topic_is_created_by_its_owner_only() {
    let missing = Ok(None);
    assert_eq!(
        plan(&wish(), &Standing::Owner, &missing).action,
        Some(TopicAction::Create)
    );
    assert_eq!(plan(&wish(), &shares(), &missing).action, None);
    let observed = TopicWish {
        management: Management::Observed,
        ..wish()
    };
    let plan = plan(&observed, &Standing::Owner, &missing);
    assert_eq!((plan.state, plan.action), (TopicState::Missing, None));
    assert!(plan.message.contains("management is Observed"), "{}", plan.message);
}

#[rstest]
#[case(Ok(Some(topic(6, 3, "1000"))), "has 6 partitions, the manifest says 12")]
#[case(Ok(Some(topic(24, 3, "1000"))), "has 24 partitions, the manifest says 12")]
#[case(Ok(Some(topic(12, 1, "1000"))), "has replication factor 1, the manifest says 3")]
fn another_form_is_told_and_never_changed(#[case] found: Result<Option<TopicFound>, KafkaError>, #[case] part: &str) {
    let plan = plan(&wish(), &Standing::Owner, &found);
    assert_eq!((plan.state, plan.action), (TopicState::Mismatch, None));
    assert!(plan.message.contains(part), "{}", plan.message);
}

#[test]
fn drift_is_repaired_for_the_keys_of_the_spec_and_no_other() {
    let plan = plan(&wish(), &Standing::Owner, &Ok(Some(topic(12, 3, "5"))));
    assert_eq!(plan.state, TopicState::Drifted);
    assert_eq!(plan.action, Some(TopicAction::Set(wish().settings)));
}

/// What an alteration of `retention.ms` leads to, where the brokers show this value after it.
fn altered(shown: &str) -> (bool, TopicPlan) {
    let look = |retention| plan(&wish(), &Standing::Owner, &Ok(Some(topic(12, 3, retention))));
    let mut now = [look(shown)];
    let took = mark_what_did_not_take(&[look("5")], &mut now);
    (took, now[0].clone())
}

#[test]
fn an_alteration_that_the_next_look_does_not_show_is_told() {
    let (took, plan) = altered("01000");
    assert!(!took);
    assert_eq!(
        (plan.state, plan.action),
        (TopicState::Drifted, Some(TopicAction::Set(wish().settings)))
    );
    assert!(
        plan.message.contains("accepted retention.ms=1000") && plan.message.contains("source.config"),
        "{}",
        plan.message
    );
}

#[test]
fn an_alteration_that_took_is_progress() {
    let (took, plan) = altered("1000");
    assert!(took);
    assert_eq!((plan.state, plan.message.as_str()), (TopicState::Ready, ""));
}

#[test]
fn a_topic_that_was_created_and_is_not_shown_yet_is_still_being_created() {
    let look = || [plan(&wish(), &Standing::Owner, &Ok(None))];
    let mut now = look();
    assert!(mark_what_did_not_take(&look(), &mut now));
    assert_eq!(now, look());
}

#[test]
fn drift_of_an_observed_or_shared_topic_is_told_and_left_alone() {
    let observed = TopicWish {
        management: Management::Observed,
        ..wish()
    };
    for (wish, standing) in [(observed, Standing::Owner), (wish(), shares())] {
        let plan = plan(&wish, &standing, &Ok(Some(topic(12, 3, "5"))));
        assert_eq!((plan.state, plan.action), (TopicState::Mismatch, None));
    }
}

#[test]
fn a_compacted_topic_is_refused() {
    let mut topic = topic(12, 3, "1000");
    topic
        .settings
        .as_mut()
        .unwrap()
        .insert("cleanup.policy".into(), "compact".into());
    let plan = plan(&wish(), &Standing::Owner, &Ok(Some(topic)));
    assert_eq!(plan.state, TopicState::Mismatch);
    assert!(plan.message.contains("must be delete"), "{}", plan.message);
}

#[test]
fn denied_settings_make_it_unknown_and_stop_nobody() {
    let mut topic = topic(12, 3, "1000");
    topic.settings = Err(KafkaError::Denied("DescribeConfigs".into()));
    let denied = plan(&wish(), &Standing::Owner, &Ok(Some(topic)));
    assert_eq!((denied.state.as_str(), denied.action), ("Unknown", None));
    assert!(denied.state.lets_processors_run());
    assert!(!TopicState::Unknown.lets_processors_run());
}

#[test]
fn an_unreachable_broker_makes_it_unknown() {
    let plan = plan(
        &wish(),
        &Standing::Owner,
        &Err(KafkaError::Unreachable("timeout".into())),
    );
    assert_eq!(plan.state, TopicState::Unknown);
    assert!(
        plan.message.contains("check spec.kafka.bootstrapServers"),
        "{}",
        plan.message
    );
}
