//! The operator killed between any two steps of a pass: the next one goes on, and nothing is made twice.

use anyhow::{Result, ensure};
use assay_operator::crash_points::CRASH_POINTS;
use assay_tests::Kafka;
use assay_tests::scratch::unique;
use serde_json::json;

use crate::installation::Rights;
use crate::lab::Lab;

fn lab() -> Result<Lab> {
    Lab::without_operator(Kafka::shared()?.bootstrap(), Rights::Namespace)
}

/// Runs an operator that ends at `point`, then one that does not.
fn die_at(lab: &mut Lab, point: &str, provoke: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let mut victim = lab.installation.start(|command| {
        command.env("FAILPOINTS", format!("{point}=panic"));
    })?;
    provoke(lab)?;
    ensure!(!victim.wait_for_end()?, "a crash is no success");
    lab.free_lease()?;
    lab.start_operator()
}

/// What a pipeline must have made exactly once, wherever the operator died on the way.
fn ensure_made_once(lab: &Lab, topic: &str, revision: &str) -> Result<()> {
    assert_eq!(lab.instances()?.into_keys().collect::<Vec<_>>(), [revision]);
    assert_eq!(lab.deployments()?.len(), 1);
    let promotions = lab
        .database
        .query("SELECT revision, generation FROM assay.promotions")?;
    assert_eq!(promotions, [[revision.to_owned(), "1".to_owned()]]);
    let finalizers = lab.get("majors")?.metadata.finalizers.unwrap_or_default();
    assert_eq!(finalizers, ["assay.dev/pipeline"]);
    ensure!(Kafka::shared()?.log_ends(topic, 3)?.len() == 3, "the topic is there");
    Ok(())
}

fn dies_while_creating(point: &str) -> Result<()> {
    let (mut lab, topic) = (lab()?, unique("raw.trades"));
    let manifest = lab.manifest("majors", &topic);
    die_at(&mut lab, point, |lab| {
        lab.apply(&manifest)?;
        if point.starts_with("promote") {
            lab.register(&lab.instance_beside(&[])?)?;
        }
        Ok(())
    })?;
    let instance = lab.instance_beside(&[])?;
    lab.register(&instance)?;
    lab.until_live("majors", &instance.revision)?;
    ensure_made_once(&lab, &topic, &instance.revision)
}

/// A change of settings: the second revision has caught up when the operator dies on the way to promote it.
fn dies_while_promoting(point: &str) -> Result<()> {
    let (mut lab, topic) = (lab()?, unique("raw.trades"));
    lab.start_operator()?;
    let first = lab.live(&lab.manifest("majors", &topic))?;
    lab.progress(&first, 0, 1_000)?;
    lab.kill_operator()?;
    lab.patch("majors", &json!({"spec": {"settings": {"lateness": "3s"}}}))?;
    die_at(&mut lab, point, |lab| {
        let second = lab.instance_beside(&[&first])?;
        lab.register(&second)?;
        lab.progress(&second.revision, 0, 999)
    })?;
    let second = lab.instance_beside(&[&first])?;
    lab.until_live("majors", &second.revision)?;
    lab.wait("the first revision to be gone", || {
        Ok(lab.replicas(&first)?.is_none().then_some(()))
    })?;
    ensure_promoted_once(&lab, &second.revision)
}

fn ensure_promoted_once(lab: &Lab, second: &str) -> Result<()> {
    let rows = lab
        .database
        .query("SELECT generation FROM assay.promotions ORDER BY generation")?;
    assert_eq!(rows, [["1"], ["2"]]);
    assert_eq!(lab.instances()?.into_keys().collect::<Vec<_>>(), [second]);
    Ok(())
}

fn dies_while_deleting(point: &str) -> Result<()> {
    let (mut lab, topic) = (lab()?, unique("raw.trades"));
    let mut manifest = lab.manifest("majors", &topic);
    manifest["spec"]["source"]["deletionPolicy"] = json!("Delete");
    lab.start_operator()?;
    lab.live(&manifest)?;
    lab.kill_operator()?;
    lab.delete("majors")?;
    die_at(&mut lab, point, |_| Ok(()))?;
    lab.wait_until_gone("majors")?;
    lab.wait("the topic to be gone", || {
        Ok(Kafka::shared()?.watermarks(&topic, 0).is_err().then_some(()))
    })?;
    assert_eq!(lab.left_behind()?, None);
    Ok(())
}

macro_rules! killed {
    ($($scenario:ident: $($name:ident => $point:literal),*;)*) => {
        const TESTED: &[&str] = &[$($($point),*),*];
        $($(#[test] fn $name() -> Result<()> { $scenario($point) })*)*
    };
}

killed! {
    dies_while_creating:
        r2_killed_after_the_finalizer => "finalizer.after",
        r2_killed_after_the_topics => "topics.after",
        r2_killed_after_the_config_maps => "config_maps.after",
        r2_killed_after_the_deployments => "deployments.after",
        r2_killed_before_the_status => "status.before";
    dies_while_promoting:
        r2_killed_after_the_left_over => "left_over.after",
        r2_killed_before_the_promotion => "promote.before",
        r2_killed_after_the_promotion => "promote.after";
    dies_while_deleting:
        r6_killed_after_the_topics_went => "finalize.after_topics",
        r6_killed_before_it_let_go => "finalize.before_let_go";
}

#[test]
fn every_crash_point_is_visited() {
    assert_eq!(sorted(TESTED), sorted(CRASH_POINTS));
}

fn sorted(points: &[&'static str]) -> Vec<&'static str> {
    let mut points = points.to_vec();
    points.sort_unstable();
    points
}
