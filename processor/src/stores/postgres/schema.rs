//! The schema's version, its migration under an advisory lock, and the same as SQL for someone who holds the rights.

use std::fmt::Write as _;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::connection::{connect_options, quoted};
use super::{PostgresOptions, StoreError, errors};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Key of the advisory lock: two migrations of one database wait for each other, whatever their schemas.
const LOCK_KEY: i64 = 0x0061_7373_6179;

const MIGRATIONS_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);";

/// The newest applied version in the search path; 0 without a schema.
pub(super) async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
}

pub(super) async fn migrate(options: &PostgresOptions) -> Result<Vec<i64>, StoreError> {
    let mut connection = connect(options).await?;
    let before = locked(&mut connection, options).await.map_err(errors::classify)?;
    let mut migrator = Migrator {
        migrations: MIGRATIONS.migrations.clone(),
        ..Migrator::DEFAULT
    };
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(refused)?;
    connection.close().await.map_err(errors::classify)?;
    Ok(MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .filter(|&version| version > before)
        .collect())
}

/// Takes the lock of the session, makes sure of the schema, and gives the version found.
async fn locked(connection: &mut PgConnection, options: &PostgresOptions) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK_KEY)
        .execute(&mut *connection)
        .await?;
    connection
        .execute(AssertSqlSafe(format!(
            "CREATE SCHEMA IF NOT EXISTS {}",
            quoted(&options.schema)
        )))
        .await?;
    version(connection).await
}

/// A session of its own without a statement timeout: an index on a large table may take its time.
async fn connect(options: &PostgresOptions) -> Result<PgConnection, StoreError> {
    let target = connect_options(options)?;
    let mut connection = tokio::time::timeout(options.connect_timeout, PgConnection::connect_with(&target))
        .await
        .map_err(|_| StoreError::Unavailable(format!("no connection within {:?}", options.connect_timeout)))?
        .map_err(errors::classify)?;
    connection
        .execute(AssertSqlSafe(format!("SET search_path TO {}", quoted(&options.schema))))
        .await
        .map_err(errors::classify)?;
    Ok(connection)
}

pub(super) async fn pending_sql(options: &PostgresOptions) -> Result<String, StoreError> {
    let mut connection = connect(options).await?;
    let found = version(&mut connection).await.map_err(errors::classify)?;
    connection.close().await.map_err(errors::classify)?;
    Ok(script(&options.schema, found))
}

/// One transaction that psql can run: the pending migrations and the rows that record them.
fn script(schema: &str, found: i64) -> String {
    let schema = quoted(schema);
    let mut sql = format!(
        "BEGIN;\nCREATE SCHEMA IF NOT EXISTS {schema};\nSET LOCAL search_path TO {schema};\n{MIGRATIONS_TABLE}\n"
    );
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let checksum = migration
            .checksum
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let _ = write!(
            sql,
            "\n-- {:04} {}\n{}\nINSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)\n\
             VALUES ({}, '{}', true, '\\x{checksum}', 0);\n",
            migration.version,
            migration.description,
            migration.sql.as_str(),
            migration.version,
            migration.description,
        );
    }
    sql + "COMMIT;\n"
}

fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) => errors::classify(error),
        error => StoreError::Refused(format!("migration: {error}")),
    }
}
