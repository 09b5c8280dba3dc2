//! The result store in one SQLite file: for backtests, the demo and tests. One writer, write-ahead log.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Transaction};

mod writes;

use super::dump::{self, Dialect, TABLES};
use super::rows::{self, ProgressRow, RegistrationRow, SnapshotRow};
use super::{Advance, Fence, Progress, Registration, ResultStore, Snapshot, StoreError, Unmirrored, queries};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Results in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens or creates the file and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the file cannot be opened, [`StoreError::Refused`] where it is no store of ours.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        Self::with_options(options).await
    }

    /// A store that lives as long as this value.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where a migration fails.
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::with_options(SqliteConnectOptions::new().in_memory(true)).await
    }

    /// Ends the use of the file and leaves every row in it: nothing beside it is needed any more, so it may be copied alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the file cannot be written, or another process has it open.
    pub async fn close(self) -> Result<(), StoreError> {
        let left_log = sqlx::query("PRAGMA journal_mode = DELETE").execute(&self.pool).await;
        self.pool.close().await;
        left_log.map(drop).map_err(classify)
    }

    /// One connection: SQLite has one writer anyway, and a database in memory has one connection.
    async fn with_options(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.busy_timeout(BUSY_TIMEOUT).foreign_keys(true))
            .await
            .map_err(classify)?;
        MIGRATIONS
            .run(&pool)
            .await
            .map_err(|error| StoreError::Refused(format!("migration: {error}")))?;
        Ok(Self { pool })
    }

    /// Takes the write lock at once, so that no statement of the transaction can be refused for a stale read.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(classify)
    }
}

#[async_trait]
impl ResultStore for SqliteStore {
    async fn register(&self, registration: &Registration, make_live: bool) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        writes::insert_revision(&mut transaction, registration)
            .await
            .map_err(classify)?;
        if make_live {
            writes::promote_first(&mut transaction, registration)
                .await
                .map_err(classify)?;
        }
        transaction.commit().await.map_err(classify)
    }

    async fn registration(&self, pipeline: &str, revision: &str) -> Result<Option<Registration>, StoreError> {
        let row: Option<RegistrationRow> = sqlx::query_as(queries::REGISTRATION)
            .bind(pipeline)
            .bind(revision)
            .fetch_optional(&self.pool)
            .await
            .map_err(classify)?;
        let progress = self.progress(pipeline, revision).await?;
        Ok(row.map(|row| row.into_registration(&progress, pipeline, revision)))
    }

    async fn live_revision(&self, pipeline: &str) -> Result<Option<(String, i64)>, StoreError> {
        sqlx::query_as(queries::LIVE_REVISION)
            .bind(pipeline)
            .fetch_optional(&self.pool)
            .await
            .map_err(classify)
    }

    async fn take_over(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        nonce: i64,
    ) -> Result<Progress, StoreError> {
        let row: Option<ProgressRow> = sqlx::query_as(queries::TAKE_OVER)
            .bind(pipeline)
            .bind(revision)
            .bind(partition)
            .bind(nonce)
            .fetch_optional(&self.pool)
            .await
            .map_err(classify)?;
        row.map(|row| row.into_progress(pipeline, revision))
            .ok_or_else(|| super::unregistered(revision, partition))
    }

    async fn progress(&self, pipeline: &str, revision: &str) -> Result<Vec<Progress>, StoreError> {
        let rows: Vec<ProgressRow> = sqlx::query_as(queries::PROGRESS)
            .bind(pipeline)
            .bind(revision)
            .fetch_all(&self.pool)
            .await
            .map_err(classify)?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_progress(pipeline, revision))
            .collect())
    }

    async fn commit(&self, advances: &[Advance]) -> Result<Vec<i32>, StoreError> {
        rows::check_advances(advances)?;
        let mut transaction = self.begin().await?;
        let mut advanced = Vec::new();
        for advance in advances {
            if writes::advance_progress(&mut transaction, advance)
                .await
                .map_err(classify)?
            {
                writes::insert_rows(&mut transaction, advance).await.map_err(classify)?;
                advanced.push(advance.fence.partition);
            }
        }
        transaction.commit().await.map_err(classify)?;
        advanced.sort_unstable();
        Ok(advanced)
    }

    async fn save_snapshot(&self, fence: &Fence, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let saved = sqlx::query(queries::SAVE_SNAPSHOT)
            .bind(&fence.pipeline)
            .bind(&fence.revision)
            .bind(fence.partition)
            .bind(fence.epoch)
            .bind(fence.owner_nonce)
            .bind(snapshot.at_offset)
            .bind(&snapshot.state_digest)
            .bind(&snapshot.blob)
            .execute(&self.pool)
            .await
            .map_err(classify)?;
        Ok(saved.rows_affected() == 1)
    }

    async fn snapshots(&self, fence: &Fence, next_offset: i64) -> Result<Vec<Snapshot>, StoreError> {
        let rows: Vec<SnapshotRow> = sqlx::query_as(queries::SNAPSHOTS)
            .bind(&fence.pipeline)
            .bind(&fence.revision)
            .bind(fence.partition)
            .bind(next_offset)
            .fetch_all(&self.pool)
            .await
            .map_err(classify)?;
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
        query.fetch_all(&self.pool).await.map_err(classify)
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
        query.execute(&self.pool).await.map_err(classify)?;
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.pool)
            .await
            .map_err(classify)?;
        super::check_version(found.unwrap_or(0), super::wanted_version(&MIGRATIONS))
    }

    async fn dump(&self, pipeline: &str, revision: &str) -> Result<String, StoreError> {
        let mut lines = Vec::new();
        for table in &TABLES {
            let rows = sqlx::query(AssertSqlSafe(table.select(Dialect::Sqlite)))
                .bind(pipeline)
                .bind(revision)
                .fetch_all(&self.pool)
                .await
                .map_err(classify)?;
            for row in &rows {
                lines.push(table.line(row).map_err(classify)?);
            }
        }
        Ok(dump::sorted(lines))
    }
}

/// SQLITE_BUSY, SQLITE_LOCKED and SQLITE_IOERR pass by themselves; a constraint does not.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn classify(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(database) = &error else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                StoreError::Unavailable(error.to_string())
            }
            _ => StoreError::Refused(error.to_string()),
        };
    };
    if database.is_unique_violation() {
        return StoreError::UniqueViolation(database.message().to_owned());
    }
    let primary = database
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .map_or(0, |code| code & 0xff);
    match primary {
        5 | 6 | 10 => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}
