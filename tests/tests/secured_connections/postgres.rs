//! Migrations and processors against Postgres.

use anyhow::Result;
use assay_tests::Database;
use assay_tests::secured::{SecuredPostgres, USER, password};

use crate::fixture::{Access, HOST, Refusal, certificates, ensure_success, postgres};

fn access(database: &Database) -> Result<Access> {
    Access::plain()?.postgres(database, HOST)
}

fn migrate(access: &Access) -> Result<Refusal> {
    Refusal::of(&access.run(&["migrate"])?)
}

#[test]
fn a_migration_gets_in_with_password_and_certificate() -> Result<()> {
    let database = postgres()?.create_database()?;
    ensure_success(&access(&database)?.out_of_files()?.run(&["migrate"])?)?;
    assert_eq!(database.query("SELECT count(*) FROM assay.pipelines")?[0][0], "0");
    let owner = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'assay'";
    assert_eq!(database.query(owner)?[0][0], USER);
    Ok(())
}

#[test]
fn a_wrong_password_names_the_secret() -> Result<()> {
    let database = postgres()?.create_database()?;
    let url = postgres()?.url(&database, HOST, "hunter2-wrong");
    let spoiled = access(&database)?.with("ASSAY_POSTGRES_URL", &url);
    migrate(&spoiled)?.assert(1, &["password authentication failed", "spec.results.postgres.secret"]);
    spoiled.refusal()?.assert(23, &["ASSAY_POSTGRES_URL"]);
    Ok(())
}

#[test]
fn a_wrong_authority_names_the_secret() -> Result<()> {
    let database = postgres()?.create_database()?;
    let spoiled = access(&database)?.trusting_the_other("POSTGRES")?;
    migrate(&spoiled)?.assert(1, &["UnknownIssuer", "spec.results.postgres.caSecret"]);
    Ok(())
}

#[test]
fn a_certificate_of_another_host_is_not_accepted() -> Result<()> {
    let database = postgres()?.create_database()?;
    let spoiled = Access::plain()?.postgres(&database, "localhost")?;
    migrate(&spoiled)?.assert(1, &["not valid for", "the URL's host"]);
    Ok(())
}

#[test]
fn an_expired_certificate_is_not_accepted() -> Result<()> {
    let known = certificates()?;
    let server = SecuredPostgres::start(&known.authority, &known.expired)?;
    let database = server.create_database()?;
    let url = server.url(&database, HOST, &password("postgres"));
    let spoiled = access(&database)?.with("ASSAY_POSTGRES_URL", &url);
    migrate(&spoiled)?.assert(1, &["expired", "spec.results.postgres.caSecret"]);
    Ok(())
}

#[test]
fn a_missing_client_certificate_names_the_secret() -> Result<()> {
    let database = postgres()?.create_database()?;
    let spoiled = access(&database)?
        .without("ASSAY_POSTGRES_CERTIFICATE")
        .without("ASSAY_POSTGRES_PRIVATE_KEY");
    migrate(&spoiled)?.assert(
        1,
        &[
            "valid client certificate",
            "spec.results.postgres.clientCertificateSecret",
        ],
    );
    Ok(())
}

#[test]
fn a_client_certificate_of_another_authority_names_the_secret() -> Result<()> {
    let database = postgres()?.create_database()?;
    let spoiled = access(&database)?.with_client("POSTGRES", &certificates()?.forged);
    migrate(&spoiled)?.assert(1, &["spec.results.postgres.clientCertificateSecret"]);
    Ok(())
}

#[test]
fn a_connection_without_encryption_names_sslmode() -> Result<()> {
    let database = postgres()?.create_database()?;
    let url = postgres()?.url(&database, HOST, &password("postgres"));
    let spoiled = Access::plain()?.with("ASSAY_POSTGRES_URL", &url.replace("verify-full", "disable"));
    migrate(&spoiled)?.assert(1, &["pg_hba.conf", "sslmode"]);
    Ok(())
}

#[test]
fn a_right_that_is_missing_names_what_to_grant() -> Result<()> {
    let database = postgres()?.create_database()?;
    database.execute(&format!("REVOKE CREATE ON DATABASE {} FROM trader", database.name()))?;
    migrate(&access(&database)?)?.assert(
        1,
        &[
            "permission denied",
            "grant it to the user of spec.results.postgres.secret",
        ],
    );
    Ok(())
}
