//! R9: brokers and database away while a pipeline is created, changed, deleted. What is unknown means hold: nothing that runs is touched.

use anyhow::Result;
use assay_tests::scratch::unique;
use assay_tests::{Kafka, Proxy, proxy::Protocol};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::lab::{Lab, condition};

#[test]
fn r9_a_broker_that_is_away_while_a_pipeline_is_created_is_waited_for() -> Result<()> {
    let kafka = Kafka::start()?;
    kafka.kill();
    let lab = Lab::with_brokers(kafka.bootstrap())?;
    lab.apply(&lab.manifest("majors", "raw.trades"))?;
    let message = lab.until_condition("majors", "TopicsReady", "Unknown", "TopicUnknown")?;
    assert!(message.contains("check spec.kafka.bootstrapServers"), "{message}");
    lab.until_condition("majors", "Stalled", "False", "TopicsNotReady")?;
    assert!(lab.deployments()?.is_empty());
    kafka.restart()?;
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    lab.instance_beside(&[])?;
    Ok(())
}

#[test]
fn r9_a_broker_that_is_away_while_settings_change_holds_what_runs() -> Result<()> {
    let kafka = Kafka::start()?;
    let lab = Lab::with_brokers(kafka.bootstrap())?;
    let first = lab.live(&lab.manifest("majors", "raw.trades"))?;
    lab.progress(&first, 0, 1_000)?;
    kafka.kill();
    lab.patch("majors", &json!({"spec": {"settings": {"lateness": "3s"}}}))?;
    lab.until_condition("majors", "TopicsReady", "Unknown", "TopicUnknown")?;
    // Lag that cannot be read is unknown, never zero.
    lab.until("majors", "an unknown lag", |p| {
        let lag = p.status.as_ref().and_then(|status| status.lag.as_ref());
        lag.is_some_and(|lag| lag.total == "unknown")
    })?;
    assert_eq!(lab.replicas(&first)?, Some(1));
    assert_eq!(lab.instances()?.len(), 1);
    // A person who stops processors need not mend Kafka first.
    lab.patch("majors", &json!({"spec": {"suspend": true}}))?;
    lab.wait("no replicas", || Ok((lab.replicas(&first)? == Some(0)).then_some(())))?;
    lab.patch("majors", &json!({"spec": {"suspend": false}}))?;
    kafka.restart()?;
    lab.instance_beside(&[&first])?;
    Ok(())
}

/// A lab whose pipelines reach their database through a proxy.
fn lab_behind_a_proxy() -> Result<(Lab, Proxy)> {
    let lab = Lab::start()?;
    let proxy = Proxy::start(lab.database.port(), Protocol::Postgres)?;
    lab.put_secret("results", &lab.database.url_through(proxy.port()))?;
    Ok((lab, proxy))
}

#[test]
fn r9_a_database_that_is_away_while_a_pipeline_is_created_is_waited_for() -> Result<()> {
    let (lab, proxy) = lab_behind_a_proxy()?;
    proxy.refuse();
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    // The topic needs no database, so that feeds can begin.
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;
    assert!(lab.deployments()?.is_empty());
    proxy.pass();
    lab.instance_beside(&[])?;
    Ok(())
}

#[test]
fn r9_a_database_that_is_away_while_settings_change_holds_what_runs_and_keeps_the_status() -> Result<()> {
    let (lab, proxy) = lab_behind_a_proxy()?;
    let first = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.progress(&first, 0, 1_000)?;
    proxy.refuse();
    lab.patch("majors", &json!({"spec": {"settings": {"lateness": "3s"}}}))?;
    lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    assert_eq!((lab.replicas(&first)?, lab.instances()?.len()), (Some(1), 1));
    let status = lab.get("majors")?.status.unwrap_or_default();
    assert_eq!(
        status.live_revision.as_ref(),
        Some(&first),
        "a column must not empty itself"
    );
    proxy.pass();
    let second = lab.instance_beside(&[&first])?;
    lab.register(&second)?;
    lab.progress(&second.revision, 0, 1_000)?;
    lab.until_live("majors", &second.revision)
}

#[test]
fn r9_a_database_that_does_not_answer_in_time_is_told() -> Result<()> {
    let (lab, proxy) = lab_behind_a_proxy()?;
    let first = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    // Somebody's lock: the server ends the statement.
    let lock = async {
        let mut session = PgConnection::connect(&lab.database.url()).await?;
        sqlx::raw_sql("BEGIN; LOCK TABLE assay.pipelines")
            .execute(&mut session)
            .await?;
        anyhow::Ok(session)
    };
    let session = lab.runtime.block_on(lock)?;
    let message = lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    assert!(message.contains("statement timeout"), "{message}");
    lab.runtime.block_on(session.close())?;
    lab.until("majors", "the store to be read again", |p| {
        condition(p, "Ready").is_some_and(|ready| ready.1 != "StoreUnavailable")
    })?;
    // A network that swallows answers: nobody but the operator can end that.
    proxy.silence();
    let message = lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    assert!(
        message.contains("no answer in") || message.contains("no connection in time"),
        "{message}"
    );
    assert_eq!(lab.replicas(&first)?, Some(1));
    Ok(())
}

#[test]
fn r9_a_database_that_was_emptied_holds_what_runs_until_a_person_says_what_is_right() -> Result<()> {
    let lab = Lab::start()?;
    let first = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.database.execute("DELETE FROM assay.pipelines")?;
    lab.patch("majors", &json!({"spec": {"settings": {"lateness": "3s"}}}))?;
    let message = lab.until_condition("majors", "Stalled", "True", "StoreForgot")?;
    assert!(message.contains(&first), "{message}");
    assert_eq!((lab.replicas(&first)?, lab.instances()?.len()), (Some(1), 1));
    // What the message says to type where all of it is lost for good.
    let forget = r#"{"status":{"liveRevision":null}}"#;
    lab.kubectl(&[
        "patch",
        "sp",
        "majors",
        "--subresource=status",
        "--type=merge",
        "-p",
        forget,
    ])?;
    lab.instance_beside(&[&first])?;
    Ok(())
}

#[test]
fn r9_a_promotion_whose_answer_is_lost_happens_once() -> Result<()> {
    let (lab, proxy) = lab_behind_a_proxy()?;
    proxy.lose("INSERT INTO promotions", assay_tests::proxy::Loss::Reply, 1);
    lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    assert_eq!(proxy.lost(), 1, "the answer was lost");
    let promotions = lab.database.query("SELECT generation FROM assay.promotions")?;
    assert_eq!(promotions, [["1"]]);
    Ok(())
}

#[test]
fn r9_pipelines_on_one_credential_share_their_connections() -> Result<()> {
    let lab = Lab::start()?;
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        lab.apply(&lab.manifest(name, &unique("raw.trades")))?;
    }
    for name in names {
        lab.until_condition(name, "TopicsReady", "True", "Ready")?;
    }
    let sessions = lab.database.query(
        "SELECT count(*)::int <= 2 FROM pg_stat_activity WHERE application_name = 'assay-operator' AND datname = current_database()",
    )?;
    assert_eq!(sessions, [["t"]], "two connections at most, however many pipelines");
    Ok(())
}
