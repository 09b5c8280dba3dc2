use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_crds::{StrategyPipeline, StrategyPipelineStatus, load_pipeline};
use rstest::rstest;

use super::*;
use crate::children::Workload;
use crate::kafka::{KafkaCredentials, KafkaError, LogBounds, TopicDescription, TopicFound};
use crate::names::PipelineKey;
use crate::rollout::RolloutState;
use crate::secrets::{Credential, PipelineSecrets, PostgresCredentials, TlsMaterial};
use crate::store::StoredProgress;
use crate::topics::Claim;

const MAJORS: &str = include_str!("../../../../crds/tests/documents/majors.yaml");

/// Everything there and as wanted, and nothing started yet.
pub(crate) fn found(change: impl FnOnce(&mut StrategyPipeline)) -> Found {
    let mut pipeline = load_pipeline(MAJORS).unwrap();
    pipeline.metadata.uid = Some("0b8a7c1e".into());
    change(&mut pipeline);
    let source = &pipeline.spec.source;
    let topic = TopicFound {
        description: TopicDescription {
            id: "topic-id".into(),
            partitions: source.partitions,
            replication_factor: source.replication_factor,
        },
        settings: Ok(source.config.clone()),
    };
    let bounds: Bounds = (0..source.partitions)
        .map(|p| (p, LogBounds { start: 5, end: 90 }))
        .collect();
    Found {
        key: PipelineKey::of(&pipeline),
        secrets: secrets(),
        kafka: Err(KafkaError::Internal("validate asks no broker".into())),
        topics: BTreeMap::from([(source.topic.clone(), Ok(Some(topic)))]),
        auto_creation: Some(false),
        claims: Vec::new(),
        other_claims: Vec::new(),
        named_by_others: BTreeSet::new(),
        unreadable: 0,
        moving: BTreeSet::new(),
        at_history: Some(bounds.keys().map(|p| (*p, Some(40))).collect()),
        bounds: Ok(bounds),
        store: Err(StoreError::Url),
        view: Ok(StoreView::default()),
        workloads: BTreeMap::<String, Workload>::new(),
        instances: BTreeMap::new(),
        config_maps: Vec::new(),
        at: Instant::now(),
        now_ms: 0,
        pipeline: Arc::new(pipeline),
    }
}

fn secrets() -> PipelineSecrets {
    PipelineSecrets {
        kafka: Ok(KafkaCredentials::default()),
        postgres: Ok(PostgresCredentials {
            url: Credential::new("postgres://db/assay"),
            tls: TlsMaterial::default(),
        }),
        redis: Ok(()),
        digest: "cafe".into(),
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        processor_image: "assay:test".into(),
        cluster: "lab".into(),
        namespace: "assay-system".into(),
        max_concurrent_upgrades: 2,
        resync: Duration::ZERO,
        secrets_age: Duration::ZERO,
        cleanup_limit: Duration::ZERO,
    }
}

/// A stored revision that stands at `next_offset` in every partition.
pub(crate) fn stored(found: &Found, engine_semantics: u32, next_offset: i64) -> StoredRevision {
    let row = StoredProgress {
        start_offset: 7,
        live_from_offset: 9,
        next_offset,
        watermark_us: Some(1),
    };
    let partitions = found.pipeline.spec.source.partitions;
    StoredRevision {
        settings: canonical_settings(&found.pipeline.spec.settings).unwrap(),
        engine_semantics,
        topic_identity: "topic-id".into(),
        partitions,
        progress: (0..partitions).map(|partition| (partition, row)).collect(),
    }
}

/// Makes a revision live in the store.
pub(crate) fn make_live(found: &mut Found, revision: &str, stored: StoredRevision) {
    let revisions = BTreeMap::from([(revision.to_owned(), stored)]);
    found.view = Ok(StoreView {
        live: Some(revision.to_owned()),
        revisions,
        ..StoreView::default()
    });
}

fn wanted(found: &Found) -> String {
    rollout(found).unwrap().wanted.to_string()
}

#[test]
fn the_first_revision_starts_inside_the_history_window_and_is_live_from_the_end() {
    let found = found(|_| ());
    let judgement = validate(&found, &settings());
    assert_eq!(judgement.hold, None);
    let instance = &judgement.runs[0].instance;
    let first = instance.offsets[0];
    assert_eq!((first.start_offset, first.live_from_offset), (40, 90));
    assert_eq!(instance.offsets.len(), 12);
    assert_eq!(
        (instance.cluster.as_str(), instance.topic_identity.as_str()),
        ("lab", "topic-id")
    );
}

#[test]
fn a_revision_that_was_registered_keeps_the_offsets_of_the_store() {
    let mut found = found(|_| ());
    let revision = wanted(&found);
    let row = stored(&found, ENGINE_SEMANTICS, 60);
    make_live(&mut found, &revision, row);
    let judgement = validate(&found, &settings());
    let first = judgement.runs[0].instance.offsets[0];
    assert_eq!((first.start_offset, first.live_from_offset), (7, 9));
}

/// What is away or wrong, and the first hold that must come of it.
#[rstest]
#[case::settings(|f: &mut Found| Arc::make_mut(&mut f.pipeline).spec.settings.history_window = assay_crds::DurationText("7d".into()), "spec.settings.historyWindow")]
#[case::secret(|f: &mut Found| f.secrets.redis = Err(SecretError::NoKey { name: "latest".into(), key: "url".into(), field: "spec.results.redis.secret" }), "has no key url")]
#[case::topic(|f: &mut Found| { f.topics.insert("raw.trades".into(), Ok(None)); }, "creating topic")]
#[case::brokers(|f: &mut Found| { f.topics.insert("raw.trades".into(), Err(KafkaError::Unreachable("timeout".into()))); }, "cannot be reached")]
#[case::store(|f: &mut Found| f.view = Err(StoreError::Unavailable("refused".into())), "result store cannot be reached")]
#[case::bounds(|f: &mut Found| { f.bounds.as_mut().unwrap().remove(&3); }, "offsets of topic raw.trades")]
#[case::history(|f: &mut Found| { f.at_history.as_mut().unwrap().remove(&3); }, "offsets of topic raw.trades")]
fn what_is_away_or_wrong_holds_everything_back(#[case] harm: fn(&mut Found), #[case] part: &str) {
    let mut found = found(|_| ());
    harm(&mut found);
    let judgement = validate(&found, &settings());
    let hold = judgement.hold.expect("a hold").to_string();
    assert!(hold.contains(part), "{hold}");
    assert!(judgement.runs.is_empty());
}

#[test]
fn a_conflict_with_an_older_pipeline_holds_and_names_it() {
    let mut found = found(|_| ());
    let own = wishes(&found.pipeline.spec).remove(0);
    let claim = |pipeline: &str, age, partitions| Claim {
        pipeline: pipeline.into(),
        age: (age, pipeline.into()),
        wish: crate::topics::TopicWish {
            partitions,
            ..own.clone()
        },
    };
    found.claims = vec![claim("trading/majors", 2, 12)];
    found.other_claims = vec![claim("research/older", 1, 6)];
    let hold = validate(&found, &settings()).hold.expect("a hold").to_string();
    assert!(
        hold.contains("research/older") && hold.contains("partitions 12 against 6"),
        "{hold}"
    );
}

/// A pipeline whose status calls a revision live, and whose store calls none so.
fn forgotten(live: &str) -> Found {
    found(|pipeline| {
        pipeline.status = Some(StrategyPipelineStatus {
            live_revision: Some(live.to_owned()),
            ..StrategyPipelineStatus::default()
        });
    })
}

#[test]
fn a_store_that_forgot_what_is_live_holds_everything_back() {
    let mut found = forgotten("0123456789-1");
    let is_held = |found: &Found| {
        let judgement = validate(found, &settings());
        let hold = judgement.hold.expect("a hold").to_string();
        assert!(
            hold.contains("0123456789-1") && hold.contains("spec.results.postgres.secret"),
            "{hold}"
        );
        assert!(judgement.runs.is_empty());
    };
    is_held(&found);
    // Processors that went on after the tables were emptied have registered anew: nobody may take the candidate for the first one.
    let row = stored(&found, ENGINE_SEMANTICS, 60);
    let revisions = ["0123456789-1".to_owned(), wanted(&found)].map(|revision| (revision, row.clone()));
    found.view.as_mut().unwrap().revisions = revisions.into();
    is_held(&found);
}

#[test]
fn a_store_that_lost_only_the_word_is_told_again() {
    let revision = wanted(&found(|_| ()));
    let mut found = forgotten(&revision);
    let row = stored(&found, ENGINE_SEMANTICS, 60);
    found.view.as_mut().unwrap().revisions.insert(revision.clone(), row);
    let judgement = validate(&found, &settings());
    assert_eq!(judgement.hold, None);
    assert_eq!(judgement.rollout.unwrap().promote, Some("operator"));
}

/// Replicas asked for, and what runs.
#[rstest]
#[case(1, false, 1)]
#[case(40, false, 12)]
#[case(0, false, 0)]
#[case(3, true, 0)]
fn replicas_are_obeyed_within_the_partitions(#[case] asked: i32, #[case] suspend: bool, #[case] runs: i32) {
    let found = found(|pipeline| {
        pipeline.spec.processor.replicas = asked;
        pipeline.spec.suspend = suspend;
    });
    assert_eq!(validate(&found, &settings()).runs[0].replicas, runs);
}

#[test]
fn a_candidate_gets_at_most_the_extra_replicas() {
    let mut found = found(|pipeline| {
        pipeline.spec.processor.replicas = 9;
        pipeline.spec.rollout.max_extra_replicas = 4;
    });
    let live = stored(&found, ENGINE_SEMANTICS, 60);
    make_live(&mut found, "0123456789-1", live);
    let replicas: BTreeMap<String, i32> = validate(&found, &settings())
        .runs
        .into_iter()
        .map(|run| (run.instance.revision, run.replicas))
        .collect();
    assert_eq!(replicas["0123456789-1"], 9);
    assert_eq!(replicas[&wanted(&found)], 4);
}

fn others(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("other-{number}")).collect()
}

#[test]
fn an_upgrade_of_the_engine_waits_while_enough_others_move() {
    let mut found = found(|_| ());
    let old = stored(&found, ENGINE_SEMANTICS + 1, 60);
    make_live(&mut found, "0123456789-1", old);
    found.moving = others(1);
    assert_eq!(validate(&found, &settings()).hold, None);
    found.moving = others(2);
    assert_eq!(validate(&found, &settings()).hold, Some(Hold::UpgradePending(2)));
}

#[test]
fn a_change_of_settings_waits_for_no_upgrade() {
    let mut found = found(|_| ());
    let live = stored(&found, ENGINE_SEMANTICS, 60);
    make_live(&mut found, "0123456789-1", live);
    found.moving = others(99);
    assert_eq!(validate(&found, &settings()).hold, None);
}

#[rstest]
#[case::suspended(true, 1)]
#[case::without_pods(false, 0)]
fn a_pipeline_at_rest_starts_no_upgrade_and_waits_for_none(#[case] suspend: bool, #[case] replicas: i32) {
    let mut found = found(|pipeline| {
        pipeline.spec.suspend = suspend;
        pipeline.spec.processor.replicas = replicas;
    });
    let old = stored(&found, ENGINE_SEMANTICS + 1, 60);
    make_live(&mut found, "0123456789-1", old);
    found.moving = others(99);
    let judgement = validate(&found, &settings());
    let runs: Vec<_> = judgement
        .runs
        .iter()
        .map(|run| (run.instance.revision.as_str(), run.replicas))
        .collect();
    assert_eq!((judgement.hold, runs), (None, vec![("0123456789-1", 0)]));
    assert_eq!(judgement.rollout.unwrap().state, RolloutState::PutOff);
}

/// Whether the live revision is of another engine, and the image that it keeps.
#[rstest]
#[case::of_this_engine(0, None)]
#[case::of_another_engine(1, Some("assay:old"))]
fn a_live_revision_of_another_engine_keeps_its_image(#[case] apart: u32, #[case] kept: Option<&str>) {
    const LIVE: &str = "0123456789-1";
    let mut found = found(|_| ());
    let old = stored(&found, ENGINE_SEMANTICS + apart, 60);
    make_live(&mut found, LIVE, old);
    let workload = Workload {
        image: Some("assay:old".into()),
        ..Workload::default()
    };
    found.workloads.insert(LIVE.into(), workload);
    let runs = validate(&found, &settings()).runs;
    let images: BTreeMap<&str, Option<&str>> = runs
        .iter()
        .map(|run| (run.instance.revision.as_str(), run.image.as_deref()))
        .collect();
    assert_eq!((images[LIVE], images[wanted(&found).as_str()]), (kept, None));
}
