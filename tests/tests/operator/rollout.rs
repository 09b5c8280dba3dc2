//! A change of settings: beside the live revision, judged by how far it has come, promoted, retired, taken back.

use anyhow::{Context as _, Result, ensure};
use assay_crds::RevisionInstance;
use assay_tests::Kafka;
use assay_tests::kafka::NewRecord;
use assay_tests::scratch::unique;
use serde_json::json;

use crate::installation::Rights;
use crate::lab::{Lab, condition};

/// A live revision on a log of ten records in each partition.
fn live_on_records(lab: &Lab) -> Result<(String, String)> {
    let topic = unique("raw.trades");
    let revision = lab.live(&lab.manifest("majors", &topic))?;
    let record = |partition| NewRecord {
        partition: Some(partition),
        key: b"BTCUSDT".to_vec(),
        value: b"{}".to_vec(),
        timestamp_ms: None,
    };
    Kafka::shared()?.produce(&topic, (0..30).map(|n| record(n % 3)))?;
    Ok((topic, revision))
}

fn change_lateness(lab: &Lab, lateness: &str) -> Result<()> {
    lab.patch("majors", &json!({"spec": {"settings": {"lateness": lateness}}}))
}

fn wait_until_stopped(lab: &Lab, revision: &str) -> Result<()> {
    lab.wait("a stopped revision", || {
        Ok(lab.replicas(revision)?.is_none().then_some(()))
    })
}

fn actors(lab: &Lab) -> Result<Vec<String>> {
    let rows = lab
        .database
        .query("SELECT revision, actor FROM assay.promotions ORDER BY generation")?;
    Ok(rows.into_iter().map(|row| row.join(" by ")).collect())
}

#[test]
fn changed_settings_run_beside_the_live_revision_until_they_have_caught_up() -> Result<()> {
    let lab = Lab::start()?;
    let (_, first) = live_on_records(&lab)?;
    lab.progress(&first, 10, 1_000)?;
    change_lateness(&lab, "3s")?;
    let second = lab.instance_beside(&[&first])?;
    lab.register(&second)?;
    lab.progress(&second.revision, 2, 900)?;
    let candidate = Some(second.revision.clone());
    lab.until("majors", "a candidate", |p| {
        p.status.as_ref().is_some_and(|s| s.candidate_revision == candidate)
    })?;
    assert_eq!(
        (lab.replicas(&first)?, lab.replicas(&second.revision)?),
        (Some(1), Some(1))
    );

    lab.progress(&second.revision, 9, 998)?;
    lab.until_live("majors", &second.revision)?;
    wait_until_stopped(&lab, &first)?;
    lab.until_condition("majors", "RolloutComplete", "True", "Live")?;
    let expected = [
        format!("{first} by operator"),
        format!("{} by operator", second.revision),
    ];
    assert_eq!(actors(&lab)?, expected);
    assert!(!lab.events("Promoted")?.is_empty());
    Ok(())
}

/// Brings the second revision to life after the first; gives both.
fn two_revisions(lab: &Lab) -> Result<(String, String)> {
    let (_, first) = live_on_records(lab)?;
    lab.progress(&first, 10, 1_000)?;
    change_lateness(lab, "3s")?;
    let second = lab.instance_beside(&[&first])?;
    lab.register(&second)?;
    lab.progress(&second.revision, 10, 1_000)?;
    lab.until_live("majors", &second.revision)?;
    wait_until_stopped(lab, &first)?;
    Ok((first, second.revision))
}

#[test]
fn rollback_makes_the_revision_before_live_again_and_keeps_the_refused_one_stopped() -> Result<()> {
    let lab = Lab::start()?;
    let (first, second) = two_revisions(&lab)?;
    let told = lab.assay(&["rollback", "majors"])?;
    assert!(told.contains(&first), "{told}");
    lab.until_live("majors", &first)?;
    wait_until_stopped(&lab, &second)?;
    lab.until_condition("majors", "RolloutComplete", "False", "Rejected")?;
    assert_eq!(actors(&lab)?.last(), Some(&format!("{first} by person")));
    // The wish is fulfilled and taken off; the refusal stays.
    lab.until("majors", "a fulfilled wish", |p| {
        let annotations = p.metadata.annotations.clone().unwrap_or_default();
        !annotations.contains_key("assay.dev/promote") && annotations.get("assay.dev/reject") == Some(&second)
    })?;
    Ok(())
}

#[test]
fn nobody_goes_back_to_a_revision_of_a_log_that_is_gone() -> Result<()> {
    let lab = Lab::start()?;
    let (first, second) = two_revisions(&lab)?;
    lab.database.execute(&format!(
        "UPDATE assay.revisions SET topic_identity = 'the-topic-before' WHERE revision = '{first}'"
    ))?;
    lab.assay(&["rollback", "majors"])?;
    let told = lab.until_condition("majors", "RolloutComplete", "False", "CannotPromote")?;
    assert!(told.contains(&first) && told.contains("annotate sp majors"), "{told}");
    lab.until_live("majors", &second)?;
    assert_eq!((lab.replicas(&first)?, lab.replicas(&second)?), (None, Some(1)));
    Ok(())
}

#[test]
fn settings_that_come_back_resume_their_instance_where_it_stopped() -> Result<()> {
    let lab = Lab::start()?;
    let (first, second) = two_revisions(&lab)?;
    change_lateness(&lab, "2s")?;
    lab.wait("the first revision to run again", || {
        Ok((lab.replicas(&first)? == Some(1)).then_some(()))
    })?;
    // It stood where the second one stands, so it takes over without a replay.
    lab.until_live("majors", &first)?;
    wait_until_stopped(&lab, &second)?;
    let progress = lab.database.query(&format!(
        "SELECT DISTINCT next_offset FROM assay.progress WHERE revision = '{first}'"
    ))?;
    assert_eq!(progress, [["10".to_owned()]]);
    let known = lab.database.query("SELECT count(*) FROM assay.revisions")?;
    assert_eq!(known, [["2".to_owned()]], "no revision may be made anew");
    Ok(())
}

/// A row of `strategy_results` of a LIVE forecast made so many seconds before now.
fn insert_result(lab: &Lab, revision: &str, seconds_ago: f64) -> Result<()> {
    lab.database.execute(&format!(
        "INSERT INTO assay.strategy_results SELECT pipeline, revision, gen_random_uuid()::text, 0, 0, 0, 'LIVE', 'BTCUSDT', 'vwap-reversion',
             now() - interval '{seconds_ago} s', now(), 300000000, 'UP', 0.5, 'LOW', 0.5, false, 'HIT', '', 0.1
         FROM assay.revisions WHERE revision = '{revision}'"
    ))
}

#[test]
fn live_results_shows_of_each_revision_what_was_public_while_it_was_live() -> Result<()> {
    let lab = Lab::start()?;
    let (first, second) = two_revisions(&lab)?;
    // An hour passes between the promotions: each was public on its own side of that hour.
    lab.database
        .execute("UPDATE assay.promotions SET promoted_at = now() - interval '1 h' WHERE generation = 2")?;
    for revision in [&first, &second] {
        for seconds_ago in [7_200.0, 600.0] {
            insert_result(&lab, revision, seconds_ago)?;
        }
    }
    let public = || {
        lab.database.query(
            "SELECT revision, generation, round(extract(epoch FROM now() - created_at) / 600) FROM assay.live_results ORDER BY created_at",
        )
    };
    let row = |revision: &str, generation: &str, ten_minutes: &str| {
        vec![revision.to_owned(), generation.to_owned(), ten_minutes.to_owned()]
    };
    assert_eq!(public()?, [row(&first, "1", "12"), row(&second, "2", "1")]);

    lab.assay(&["rollback", "majors"])?;
    lab.until_live("majors", &first)?;
    insert_result(&lab, &first, -600.0)?;
    insert_result(&lab, &second, -600.0)?;
    let expected = [row(&first, "1", "12"), row(&second, "2", "1"), row(&first, "3", "-1")];
    assert_eq!(public()?, expected);
    Ok(())
}

/// Three pipelines on one topic whose live revisions are of another engine, as after a release that changes results.
fn live_on_another_engine(lab: &Lab) -> Result<Vec<&'static str>> {
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("scout", &topic))?;
    let scout = lab.instance_beside(&[])?;
    let names = vec!["a", "b", "c"];
    for name in &names {
        let mut manifest = lab.manifest(name, &topic);
        manifest["metadata"]["annotations"] = json!({"assay.dev/paused": "true"});
        let uid = lab.apply(&manifest)?.metadata.uid.context("a uid")?;
        let old = RevisionInstance {
            pipeline: uid.clone(),
            name: (*name).to_owned(),
            revision: "0123456789-1".to_owned(),
            engine_semantics: scout.engine_semantics + 1,
            ..scout.clone()
        };
        lab.register(&old)?;
        lab.database.execute(&format!(
            "UPDATE assay.pipelines SET live_revision = '0123456789-1', live_generation = 1 WHERE pipeline = '{uid}'"
        ))?;
    }
    lab.delete("scout")?;
    lab.wait_until_gone("scout")?;
    Ok(names)
}

/// Revisions that replay the log for the new engine, by pipeline.
fn replaying(lab: &Lab) -> Result<Vec<RevisionInstance>> {
    let live = lab
        .database
        .query("SELECT pipeline || live_revision FROM assay.pipelines")?
        .concat();
    let instances = lab.instances_of_all()?.into_iter();
    let is_new = |instance: &RevisionInstance| {
        let RevisionInstance { pipeline, revision, .. } = instance;
        // What belonged to the scout is collected some time after it is gone.
        instance.name != "scout" && revision != "0123456789-1" && !live.contains(&format!("{pipeline}{revision}"))
    };
    Ok(instances.filter(is_new).collect())
}

#[test]
fn after_a_release_that_changes_results_pipelines_move_one_after_another() -> Result<()> {
    let mut lab = Lab::without_operator(Kafka::shared()?.bootstrap(), Rights::Namespace)?;
    lab.operator = Some(lab.installation.start(|command| {
        command.arg("--max-concurrent-upgrades=1");
    })?);
    let names = live_on_another_engine(&lab)?;
    // All at once, as when the operator of the new release starts.
    lab.kill_operator()?;
    for name in &names {
        lab.patch(name, &json!({"metadata": {"annotations": {"assay.dev/paused": null}}}))?;
    }
    lab.operator = Some(lab.installation.start(|command| {
        command.arg("--max-concurrent-upgrades=1");
    })?);
    for waiting in (0..names.len()).rev() {
        let moving = lab.wait("the next one to move", || Ok(replaying(&lab)?.pop()))?;
        let pending = || -> Result<Vec<String>> {
            let pending = |name: &&&str| {
                let pipeline = lab.get(name).ok();
                pipeline
                    .and_then(|pipeline| condition(&pipeline, "Ready"))
                    .is_some_and(|(_, reason, _)| reason == "UpgradePending")
            };
            Ok(names.iter().filter(pending).map(|name| (*name).to_owned()).collect())
        };
        lab.wait("the others to wait", || Ok((pending()?.len() == waiting).then_some(())))?;
        ensure!(replaying(&lab)?.len() == 1, "more than one moves at a time");
        lab.register(&moving)?;
        lab.until_live(&moving.name, &moving.revision)?;
    }
    assert_eq!(actors(&lab)?.len(), names.len());
    Ok(())
}

#[test]
fn clusters_that_share_a_database_and_a_topic_do_not_disturb_each_other() -> Result<()> {
    let east = Lab::start()?;
    let mut west = Lab::without_operator(Kafka::shared()?.bootstrap(), Rights::Namespace)?;
    west.database = east.database.clone();
    west.put_secret("results", &west.database.url())?;
    west.operator = Some(west.installation.start(|command| {
        command.env("ASSAY_CLUSTER", "west");
    })?);
    let topic = unique("raw.trades");
    let revision = east.live(&east.manifest("majors", &topic))?;
    assert_eq!(
        west.live(&west.manifest("majors", &topic))?,
        revision,
        "equal settings on one topic"
    );
    let clusters = east
        .database
        .query("SELECT cluster FROM assay.pipelines ORDER BY cluster")?;
    assert_eq!(clusters, [["lab"], ["west"]]);

    change_lateness(&east, "3s")?;
    let second = east.instance_beside(&[&revision])?;
    east.register(&second)?;
    east.until_live("majors", &second.revision)?;
    east.delete("majors")?;
    east.wait_until_gone("majors")?;
    // West went on all the time: as live as before, on its own promotion, with its own rows and the shared topic.
    let west_of = |what: &str| {
        west.database.query(&format!(
            "SELECT {what} FROM assay.pipelines p JOIN assay.promotions USING (pipeline) JOIN assay.progress USING (pipeline)
             WHERE p.cluster = 'west'"
        ))
    };
    assert_eq!(
        west_of("DISTINCT live_revision, live_generation, actor, count(*) OVER ()")?,
        [[revision.as_str(), "1", "operator", "3"]]
    );
    west.until_condition("majors", "TopicsReady", "True", "Ready")?;
    assert_eq!(west.replicas(&revision)?, Some(1));
    Ok(())
}
