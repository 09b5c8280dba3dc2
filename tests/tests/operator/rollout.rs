//! A change of settings: beside the live revision, judged by how far it has come, promoted, retired, taken back.

use anyhow::Result;
use assay_tests::Kafka;
use assay_tests::kafka::NewRecord;
use assay_tests::scratch::unique;
use serde_json::json;

use crate::lab::Lab;

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
