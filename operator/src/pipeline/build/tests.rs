use assay_crds::{InstanceOffsets, canonical_settings, load_pipeline};

use super::*;

const MAJORS: &str = include_str!("../../../../crds/tests/documents/majors.yaml");
const FULL: &str = include_str!("../../../../crds/tests/documents/full-v1.yaml");

fn instance(pipeline: &StrategyPipeline) -> RevisionInstance {
    RevisionInstance {
        pipeline: "0b8a7c1e".into(),
        cluster: "lab".into(),
        namespace: "trading".into(),
        name: pipeline.metadata.name.clone().unwrap(),
        revision: "0123456789-1".into(),
        engine_semantics: 1,
        topic: pipeline.spec.source.topic.clone(),
        topic_identity: "topic-id".into(),
        partitions: 12,
        settings: canonical_settings(&pipeline.spec.settings).unwrap(),
        offsets: vec![InstanceOffsets {
            partition: 0,
            start_offset: 5,
            live_from_offset: 9,
        }],
    }
}

fn built(document: &str, change: impl FnOnce(&mut StrategyPipeline)) -> Resources {
    let mut pipeline = load_pipeline(document).unwrap();
    pipeline.metadata.uid = Some("0b8a7c1e".into());
    change(&mut pipeline);
    let revisions = vec![RevisionBlueprint {
        instance: instance(&pipeline),
        replicas: 2,
        image: None,
    }];
    build(&Blueprint {
        pipeline: &pipeline,
        revisions,
        secrets: "cafe",
        default_image: "assay:test",
    })
    .unwrap()
}

fn config_map_name(resources: &Resources) -> &str {
    resources.config_maps[0].metadata.name.as_deref().unwrap()
}

#[test]
fn the_shortest_pipeline() {
    let resources = built(MAJORS, |_| ());
    insta::assert_json_snapshot!("deployment", resources.deployments);
    insta::assert_json_snapshot!("config_map", resources.config_maps);
    insta::assert_json_snapshot!("service_account", resources.service_account);
    insta::assert_json_snapshot!("pod_disruption_budget", resources.pod_disruption_budget);
    insta::assert_json_snapshot!("network_policy", resources.network_policy);
    insta::assert_json_snapshot!("service", resources.service);
}

#[test]
fn the_fullest_pipeline() {
    let resources = built(FULL, |_| ());
    insta::assert_json_snapshot!("full_deployment", resources.deployments);
    assert_eq!(resources.service_account, None, "the manifest names an existing one");
}

#[test]
fn what_the_processor_is_told_is_a_valid_document() {
    let resources = built(FULL, |_| ());
    let data = resources.config_maps[0].data.as_ref().unwrap();
    load_pipeline(&data["pipeline.json"]).unwrap_or_else(|problems| panic!("{problems}"));
    let told: RevisionInstance = serde_json::from_str(&data["revision.json"]).unwrap();
    assert_eq!(told.offsets.len(), 1);
}

#[test]
fn what_becomes_of_topics_and_old_rows_does_not_touch_the_config_map() {
    let before = built(FULL, |_| ());
    let after = built(FULL, |pipeline| {
        let source = &mut pipeline.spec.source;
        source.config.insert("segment.bytes".into(), "1048576".into());
        source.replication_factor += 1;
        source.management = assay_crds::spec::Management::Observed;
        source.deletion_policy = assay_crds::spec::DeletionPolicy::Delete;
        pipeline.spec.dead_letters.as_mut().unwrap().partitions += 1;
        pipeline.spec.results.retention = "1h".into();
    });
    assert_eq!(config_map_name(&before), config_map_name(&after));
}

#[test]
fn more_partitions_in_the_manifest_leave_the_revisions_that_run_alone() {
    let before = built(MAJORS, |_| ());
    let after = built(MAJORS, |pipeline| pipeline.spec.source.partitions = 24);
    assert_eq!(config_map_name(&before), config_map_name(&after));
}

#[test]
fn a_retention_that_is_too_short_for_the_settings_before_is_no_matter_of_their_processors() {
    let resources = built(FULL, |pipeline| {
        pipeline
            .spec
            .source
            .config
            .insert("retention.ms".into(), "3600000".into());
    });
    let data = resources.config_maps[0].data.as_ref().unwrap();
    load_pipeline(&data["pipeline.json"]).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn scaling_and_rollout_do_not_touch_the_config_map() {
    let before = built(FULL, |_| ());
    let after = built(FULL, |pipeline| {
        pipeline.spec.processor.replicas = 7;
        pipeline.spec.scaling.min_replicas = 2;
        pipeline.spec.rollout.min_outcomes = 9;
    });
    assert_eq!(config_map_name(&before), config_map_name(&after));
}

#[test]
fn another_commit_interval_gets_another_config_map() {
    let before = built(FULL, |_| ());
    let after = built(FULL, |pipeline| {
        pipeline.spec.processor.commit.interval = "250ms".into();
    });
    assert_ne!(config_map_name(&before), config_map_name(&after));
}

#[test]
fn no_object_shows_what_a_secret_holds() {
    let resources = built(FULL, |_| ());
    let text = serde_json::to_string(&(resources.config_maps, resources.deployments)).unwrap();
    assert!(!text.contains("postgres://"), "{text}");
}

#[test]
fn external_migrations_bring_no_init_container() {
    let resources = built(FULL, |p| {
        p.spec.results.postgres.migrations = assay_crds::spec::Migrations::External;
    });
    let pod = resources.deployments[0]
        .spec
        .as_ref()
        .unwrap()
        .template
        .spec
        .as_ref()
        .unwrap();
    assert_eq!(pod.init_containers, None);
}

#[test]
fn settings_of_the_store_that_cannot_be_read_are_told_by_revision() {
    let mut pipeline = load_pipeline(MAJORS).unwrap();
    pipeline.metadata.uid = Some("0b8a7c1e".into());
    let instance = RevisionInstance {
        settings: "{}".into(),
        ..instance(&pipeline)
    };
    let revisions = vec![RevisionBlueprint {
        instance,
        replicas: 1,
        image: None,
    }];
    let error = build(&Blueprint {
        pipeline: &pipeline,
        revisions,
        secrets: "",
        default_image: "",
    })
    .unwrap_err();
    assert!(error.to_string().contains("revision 0123456789-1"), "{error}");
}

#[test]
fn an_image_that_a_revision_must_keep_goes_before_any_other() {
    let mut pipeline = load_pipeline(MAJORS).unwrap();
    pipeline.metadata.uid = Some("0b8a7c1e".into());
    pipeline.spec.processor.image = Some("assay:named".into());
    let revision = |image: Option<&str>| RevisionBlueprint {
        instance: instance(&pipeline),
        replicas: 1,
        image: image.map(str::to_owned),
    };
    let revisions = vec![revision(Some("assay:old")), revision(None)];
    let resources = build(&Blueprint {
        pipeline: &pipeline,
        revisions,
        secrets: "",
        default_image: "assay:ours",
    })
    .unwrap();
    let images = resources.deployments.into_iter().map(|deployment| {
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        let containers = pod.init_containers.unwrap().into_iter().chain(pod.containers);
        containers.map(|container| container.image.unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(images.collect::<Vec<_>>(), [["assay:old"; 2], ["assay:named"; 2]]);
}
