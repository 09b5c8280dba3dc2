//! The bump, and the end of a backend that keeps it waiting.

use std::time::Duration;

use super::{PostgresStore, Progress, ProgressRow, StoreError, queries};

/// A commit takes milliseconds. Whoever holds the row longer is stopped or cut off, and no timeout of the server ends a
/// transaction whose client is stopped inside it (seen on Postgres 15).
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the backends of our role at the root of the queue for the row; those that wait themselves are left alone.
const END_BLOCKERS: &str = "\
WITH RECURSIVE chain(pid) AS (
    SELECT unnest(pg_blocking_pids($1))
    UNION
    SELECT unnest(pg_blocking_pids(chain.pid)) FROM chain
)
SELECT count(pg_terminate_backend(a.pid)) FROM chain JOIN pg_stat_activity a ON a.pid = chain.pid
WHERE a.usename = current_user AND a.wait_event_type IS DISTINCT FROM 'Lock'";

impl PostgresStore {
    pub(super) async fn bump(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        nonce: i64,
    ) -> Result<Progress, StoreError> {
        let update = sqlx::query_as(queries::TAKE_OVER)
            .bind(pipeline)
            .bind(revision)
            .bind(partition)
            .bind(nonce);
        let row: Option<ProgressRow> = self
            .within(async |connection| {
                let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                    .fetch_one(&mut *connection)
                    .await?;
                self.insist(backend, async { update.fetch_optional(connection).await })
                    .await
            })
            .await?;
        row.map(|row| row.into_progress(pipeline, revision))
            .ok_or_else(|| super::super::unregistered(revision, partition))
    }

    /// Waits for the statement that `backend` runs, and clears its way each time it waited too long.
    async fn insist<T>(
        &self,
        backend: i32,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        tokio::pin!(statement);
        loop {
            match tokio::time::timeout(PATIENCE, &mut statement).await {
                Ok(result) => return result,
                Err(_) => self.end_blockers(backend).await?,
            }
        }
    }

    async fn end_blockers(&self, backend: i32) -> Result<(), sqlx::Error> {
        let mut connection = self.rescue.acquire().await?;
        let ended: i64 = sqlx::query_scalar(END_BLOCKERS)
            .bind(backend)
            .fetch_one(&mut *connection)
            .await?;
        tracing::warn!(backends = ended, "ended backends that blocked a takeover");
        Ok(())
    }
}
