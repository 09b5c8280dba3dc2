//! The result store in Postgres.
//!
//! Every write is one autocommit statement: no lock is ever held while the server waits for this process, so a process
//! that stops keeps nobody out. The URL may carry a password and is never logged or put into an error.

mod commit;
mod connection;
mod errors;
mod schema;
mod take_over;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use super::dump::{self, Dialect, TABLES};
use super::rows::{self, ProgressRow, RegistrationRow, SnapshotRow};
use super::{Advance, Fence, Progress, Registration, ResultStore, Snapshot, StoreError, Unmirrored, queries};
use crate::tls::TlsMaterial;

/// How to reach Postgres. TLS is chosen by `tls`, or by the URL alone (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`).
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub url: String,
    /// Whom to trust, and what to show of oneself. Any of it makes the connection encrypted and the server verified.
    pub tls: TlsMaterial,
    /// Schema of the tables; put in front of the search path.
    pub schema: String,
    /// A statement that takes longer is ended by the server; one that is not answered a second later, by us.
    pub statement_timeout: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// Connections of this process.
    pub max_connections: u32,
}

impl PostgresOptions {
    /// Options with the defaults: 10 s per statement, 5 s to connect, four connections.
    #[must_use]
    pub fn new(url: impl Into<String>, schema: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: TlsMaterial::default(),
            schema: schema.into(),
            statement_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_connections: 4,
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Results in a schema of a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    /// Ends backends that block a takeover; apart, so that waiting takeovers cannot use up its connections.
    rescue: PgPool,
    patience: Duration,
}

impl PostgresStore {
    /// Prepares the connections without opening one: the server may be away for now.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the URL cannot be read.
    pub fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        Ok(Self {
            pool: connection::pool(options, options.max_connections)?,
            rescue: connection::pool(options, 1)?,
            patience: options.statement_timeout + Duration::from_secs(1),
        })
    }

    /// Creates the schema and brings it up to date under an advisory lock. Gives the versions that were applied.
    ///
    /// # Errors
    /// [`StoreError::Refused`] without the right to create, or where an applied migration was changed.
    pub async fn migrate(options: &PostgresOptions) -> Result<Vec<i64>, StoreError> {
        schema::migrate(options).await
    }

    /// The SQL that [`PostgresStore::migrate`] would run, for someone with the right to: what is pending on the server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the server cannot be asked.
    pub async fn pending_sql(options: &PostgresOptions) -> Result<String, StoreError> {
        schema::pending_sql(options).await
    }
}

#[async_trait]
impl ResultStore for PostgresStore {
    async fn register(&self, registration: &Registration, make_live: bool) -> Result<(), StoreError> {
        let offsets = &registration.offsets;
        let query = sqlx::query(REGISTER)
            .bind(&registration.pipeline)
            .bind(&registration.cluster)
            .bind(&registration.namespace)
            .bind(&registration.name)
            .bind(&registration.revision)
            .bind(&registration.settings)
            .bind(registration.engine_semantics)
            .bind(&registration.topic_identity)
            .bind(registration.partitions)
            .bind(make_live)
            .bind(offsets.iter().map(|row| row.partition).collect::<Vec<_>>())
            .bind(offsets.iter().map(|row| row.start_offset).collect::<Vec<_>>())
            .bind(offsets.iter().map(|row| row.live_from_offset).collect::<Vec<_>>());
        self.within(async |connection| query.execute(connection).await)
            .await
            .map(drop)
    }

    async fn registration(&self, pipeline: &str, revision: &str) -> Result<Option<Registration>, StoreError> {
        let query = sqlx::query_as(queries::REGISTRATION).bind(pipeline).bind(revision);
        let row: Option<RegistrationRow> = self
            .within(async |connection| query.fetch_optional(connection).await)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let progress = self.progress(pipeline, revision).await?;
        Ok(Some(row.into_registration(&progress, pipeline, revision)))
    }

    async fn live_revision(&self, pipeline: &str) -> Result<Option<(String, i64)>, StoreError> {
        let query = sqlx::query_as(queries::LIVE_REVISION).bind(pipeline);
        self.within(async |connection| query.fetch_optional(connection).await)
            .await
    }

    async fn take_over(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        nonce: i64,
    ) -> Result<Progress, StoreError> {
        self.bump(pipeline, revision, partition, nonce).await
    }

    async fn progress(&self, pipeline: &str, revision: &str) -> Result<Vec<Progress>, StoreError> {
        let query = sqlx::query_as(queries::PROGRESS).bind(pipeline).bind(revision);
        let rows: Vec<ProgressRow> = self
            .within(async |connection| query.fetch_all(connection).await)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_progress(pipeline, revision))
            .collect())
    }

    async fn commit(&self, advances: &[Advance]) -> Result<Vec<i32>, StoreError> {
        rows::check_advances(advances)?;
        let Some(first) = advances.first() else {
            return Ok(Vec::new());
        };
        let query = commit::statement(&first.fence, advances);
        self.within(async |connection| query.fetch_all(connection).await).await
    }

    async fn save_snapshot(&self, fence: &Fence, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let query = sqlx::query(queries::SAVE_SNAPSHOT)
            .bind(&fence.pipeline)
            .bind(&fence.revision)
            .bind(fence.partition)
            .bind(fence.epoch)
            .bind(fence.owner_nonce)
            .bind(snapshot.at_offset)
            .bind(&snapshot.state_digest)
            .bind(&snapshot.blob);
        let saved = self.within(async |connection| query.execute(connection).await).await?;
        Ok(saved.rows_affected() == 1)
    }

    async fn snapshots(&self, fence: &Fence, next_offset: i64) -> Result<Vec<Snapshot>, StoreError> {
        let query = sqlx::query_as(queries::SNAPSHOTS)
            .bind(&fence.pipeline)
            .bind(&fence.revision)
            .bind(fence.partition)
            .bind(next_offset);
        let rows: Vec<SnapshotRow> = self
            .within(async |connection| query.fetch_all(connection).await)
            .await?;
        Ok(rows.into_iter().map(Snapshot::from).collect())
    }

    async fn unmirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        limit: i64,
    ) -> Result<Vec<Unmirrored>, StoreError> {
        let query = sqlx::query_as(queries::UNMIRRORED)
            .bind(pipeline)
            .bind(revision)
            .bind(partition)
            .bind(limit);
        self.within(async |connection| query.fetch_all(connection).await).await
    }

    async fn mirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        next_offset: i64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(queries::MIRRORED)
            .bind(pipeline)
            .bind(revision)
            .bind(partition)
            .bind(next_offset);
        self.within(async |connection| query.execute(connection).await).await?;
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        let found = self
            .within(async |connection| schema::version(connection).await)
            .await?;
        super::check_version(found, super::wanted_version(&schema::MIGRATIONS))
    }

    async fn dump(&self, pipeline: &str, revision: &str) -> Result<String, StoreError> {
        let mut lines = Vec::new();
        for table in &TABLES {
            let query = sqlx::query(AssertSqlSafe(table.select(Dialect::Postgres)))
                .bind(pipeline)
                .bind(revision);
            let rows = self
                .within(async |connection| query.fetch_all(connection).await)
                .await?;
            for row in &rows {
                lines.push(table.line(row).map_err(errors::classify)?);
            }
        }
        Ok(dump::sorted(lines))
    }
}

/// Progress rows appear only together with their revision, so two racing processes cannot mix their offsets.
const REGISTER: &str = r#"
WITH pipeline AS (
    INSERT INTO pipelines (pipeline, cluster, namespace, name, live_revision, live_generation)
    VALUES ($1, $2, $3, $4, CASE WHEN $10 THEN $5 END, CASE WHEN $10 THEN 1 ELSE 0 END)
    ON CONFLICT (pipeline) DO UPDATE
    SET live_revision = excluded.live_revision, live_generation = pipelines.live_generation + 1
    WHERE pipelines.live_revision IS NULL AND excluded.live_revision IS NOT NULL
    RETURNING live_revision, live_generation
), promotion AS (
    INSERT INTO promotions (pipeline, generation, revision, actor, evidence)
    SELECT $1, live_generation, live_revision, 'register', '{}' FROM pipeline WHERE live_revision IS NOT NULL
), revision AS (
    INSERT INTO revisions (pipeline, revision, settings, engine_semantics, topic_identity, partitions)
    VALUES ($1, $5, $6, $7, $8, $9)
    ON CONFLICT DO NOTHING
    RETURNING pipeline, revision
)
INSERT INTO progress (pipeline, revision, "partition", epoch, owner_nonce, start_offset, live_from_offset, next_offset,
    state_digest, record_digest, counters)
SELECT r.pipeline, r.revision, o."partition", 0, 0, o.start_offset, o.live_from_offset, o.start_offset, '', '', '{}'
FROM revision r, unnest($11::integer[], $12::bigint[], $13::bigint[]) AS o("partition", start_offset, live_from_offset)"#;
