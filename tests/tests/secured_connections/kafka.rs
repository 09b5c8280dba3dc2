//! Processors and feeds against Kafka.

use anyhow::Result;
use assay_tests::secured::{LONER, Listener, NO_READER, STRANGER};
use assay_tests::wait;
use rstest::rstest;

use crate::fixture::{Access, HOST, LIMIT, Refusal, certificates, ensure_hidden, ensure_success, kafka};

#[rstest]
#[case("PLAIN")]
#[case("SCRAM-SHA-256")]
#[case("SCRAM-SHA-512")]
fn a_processor_logs_in_by_every_mechanism(#[case] mechanism: &str) -> Result<()> {
    let access = Access::plain()?.kafka_login(mechanism)?;
    let pipeline = access.pipeline()?;
    let mut processor = access.start(&pipeline)?;
    pipeline.wait_until_ready(&mut processor)?;
    pipeline.shut_down(processor)
}

fn login() -> Result<Access> {
    Access::plain()?.kafka_login("SCRAM-SHA-512")
}

#[test]
fn a_wrong_password_names_the_secret() -> Result<()> {
    let refusal = login()?.with("ASSAY_KAFKA_PASSWORD", "hunter2-wrong").refusal()?;
    refusal.assert(
        16,
        &[
            "refused the login",
            "spec.kafka.security.credentialsSecret",
            "ASSAY_KAFKA_PASSWORD",
        ],
    );
    Ok(())
}

#[test]
fn a_wrong_authority_names_the_secret() -> Result<()> {
    let refusal = login()?.trusting_the_other("KAFKA")?.refusal()?;
    refusal.assert(16, &["certificate is not accepted", "spec.kafka.security.caSecret"]);
    Ok(())
}

#[test]
fn an_expired_certificate_is_not_accepted() -> Result<()> {
    let refusal = login()?.at(Listener::Expired, HOST)?.refusal()?;
    refusal.assert(16, &["certificate is not accepted", "must not have expired"]);
    Ok(())
}

#[test]
fn a_certificate_of_another_host_is_not_accepted() -> Result<()> {
    let refusal = login()?.at(Listener::Login, "localhost")?.refusal()?;
    refusal.assert(16, &["certificate is not accepted", "spec.kafka.bootstrapServers"]);
    Ok(())
}

#[test]
fn a_missing_client_certificate_names_the_secret() -> Result<()> {
    let refusal = Access::plain()?.kafka_mutual(None)?.refusal()?;
    refusal.assert(16, &["spec.kafka.security.clientCertificateSecret"]);
    Ok(())
}

#[test]
fn a_client_certificate_of_another_authority_names_the_secret() -> Result<()> {
    let refusal = Access::plain()?
        .kafka_mutual(Some(&certificates()?.forged))?
        .refusal()?;
    refusal.assert(16, &["spec.kafka.security.clientCertificateSecret"]);
    Ok(())
}

#[test]
fn a_certificate_that_the_manifest_names_and_nobody_gives_is_named() -> Result<()> {
    let refusal = login()?.without("ASSAY_KAFKA_CA").refusal()?;
    refusal.assert(2, &["ASSAY_KAFKA_CA_FILE"]);
    Ok(())
}

#[test]
fn a_mechanism_that_is_not_supported_is_refused_with_those_that_are() -> Result<()> {
    let refusal = Access::plain()?.kafka_login("OAUTHBEARER")?.refusal()?;
    refusal.assert(2, &["spec.kafka.security.mechanism", "OAUTHBEARER", "SCRAM-SHA-512"]);
    Ok(())
}

#[test]
fn a_topic_that_may_not_be_described_names_the_right() -> Result<()> {
    let refusal = login()?.with("ASSAY_KAFKA_USERNAME", STRANGER).refusal()?;
    refusal.assert(12, &["trades-", "grant READ and DESCRIBE"]);
    Ok(())
}

/// Rights may come back, so the process stays: it is not healthy, and says why.
#[rstest]
#[case::topic(NO_READER, "grant READ on spec.source.topic")]
#[case::group(LONER, "grant READ on the groups that begin with spec.kafka.groupPrefix")]
fn a_right_that_is_missing_while_running_is_told_by_the_status(#[case] user: &str, #[case] remedy: &str) -> Result<()> {
    let access = login()?.with("ASSAY_KAFKA_USERNAME", user);
    let pipeline = access.pipeline()?;
    let mut processor = access.start(&pipeline)?;
    wait::until(LIMIT, "a status that names the right", || {
        processor.process().ensure_running()?;
        let status = processor.status().unwrap_or_default();
        Ok((status["health"] != "HEALTHY" && status["reasons"].to_string().contains(remedy)).then_some(()))
    })?;
    ensure_hidden("log", &processor.process().log()?)?;
    pipeline.shut_down(processor)
}

fn feed(access: &Access, topic: &str, mechanism: &str) -> Result<std::process::Output> {
    let mechanism = format!("sasl.mechanism={mechanism}");
    let to = ["feed", "--brokers", access.bootstrap(), "--topic", topic];
    let how = ["-X", "security.protocol=SASL_SSL", "-X", &mechanism];
    let what = ["--synthetic", "walk", "--duration", "1m", "--seed", "7"];
    access.run(&[&to[..], &how, &what].concat())
}

#[test]
fn a_feed_logs_in_with_what_the_environment_holds() -> Result<()> {
    let access = login()?;
    let pipeline = access.pipeline()?;
    ensure_success(&feed(&access, pipeline.topic(), "SCRAM-SHA-256")?)?;
    assert!(kafka()?.plain().log_ends(pipeline.topic(), 1)?[0] > 0);
    Ok(())
}

#[test]
fn a_feed_with_a_wrong_password_names_the_variable() -> Result<()> {
    let access = login()?.with("ASSAY_KAFKA_PASSWORD", "hunter2-wrong");
    let pipeline = access.pipeline()?;
    let refusal = Refusal::of(&feed(&access, pipeline.topic(), "SCRAM-SHA-512")?)?;
    refusal.assert(1, &["refused the login", "ASSAY_KAFKA_PASSWORD"]);
    Ok(())
}

#[test]
fn a_feed_takes_no_password_from_its_command_line() -> Result<()> {
    let output = Access::plain()?.run(&["feed", "-X", "sasl.password=x", "--brokers", "b", "file.csv"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("set ASSAY_KAFKA_PASSWORD in the environment"), "{told}");
    Ok(())
}
