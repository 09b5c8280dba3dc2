//! Processors against Redis.

use anyhow::Result;
use assay_tests::secured::{OUTSIDER, SecuredRedis, USER, password};

use crate::fixture::{Access, HOST, certificates, redis};

fn access() -> Result<Access> {
    Access::plain()?.redis(HOST)
}

#[test]
fn a_wrong_password_names_the_secret() -> Result<()> {
    let url = redis()?.url(USER, "hunter2-wrong", HOST);
    let refusal = access()?.with("ASSAY_REDIS_URL", &url).refusal()?;
    refusal.assert(32, &["spec.results.redis.secret", "ASSAY_REDIS_URL"]);
    Ok(())
}

#[test]
fn a_wrong_authority_names_the_secret() -> Result<()> {
    let refusal = access()?.trusting_the_other("REDIS")?.refusal()?;
    refusal.assert(32, &["UnknownIssuer", "spec.results.redis.caSecret"]);
    Ok(())
}

#[test]
fn a_certificate_of_another_host_is_not_accepted() -> Result<()> {
    let refusal = Access::plain()?.redis("localhost")?.refusal()?;
    refusal.assert(32, &["not valid for", "the URL's host"]);
    Ok(())
}

#[test]
fn an_expired_certificate_is_not_accepted() -> Result<()> {
    let known = certificates()?;
    let server = SecuredRedis::start(&known.authority, &known.expired)?;
    let url = server.url(USER, &password("redis"), HOST);
    let refusal = access()?.with("ASSAY_REDIS_URL", &url).refusal()?;
    refusal.assert(32, &["expired", "spec.results.redis.caSecret"]);
    Ok(())
}

#[test]
fn a_missing_client_certificate_names_the_secret() -> Result<()> {
    let spoiled = access()?
        .without("ASSAY_REDIS_CERTIFICATE")
        .without("ASSAY_REDIS_PRIVATE_KEY");
    spoiled
        .refusal()?
        .assert(32, &["spec.results.redis.clientCertificateSecret"]);
    Ok(())
}

#[test]
fn certificates_on_a_plain_connection_are_refused() -> Result<()> {
    let url = redis()?.plain().url();
    let refusal = access()?.with("ASSAY_REDIS_URL", &url).refusal()?;
    refusal.assert(2, &["begin it with rediss://"]);
    Ok(())
}

#[test]
fn a_right_that_is_missing_names_what_to_grant() -> Result<()> {
    let url = redis()?.url(OUTSIDER, &password("redis"), HOST);
    let refusal = access()?.with("ASSAY_REDIS_URL", &url).refusal()?;
    refusal.assert(32, &["no permissions", "spec.results.redis.keyPrefix"]);
    Ok(())
}
