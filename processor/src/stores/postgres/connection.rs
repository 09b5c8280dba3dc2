//! Connections and the time limits that hold on both sides of them.

use std::str::FromStr;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::{PostgresOptions, PostgresStore, StoreError, errors};
use crate::tls::TlsMaterial;

/// Reads the URL; statements are not logged, as their values belong to the user.
pub(super) fn connect_options(options: &PostgresOptions) -> Result<PgConnectOptions, StoreError> {
    let parsed = PgConnectOptions::from_str(&options.url)
        .map_err(|_| StoreError::Refused("the URL in results.postgres cannot be read; expected postgres://…".into()))?;
    Ok(encrypted(parsed, &options.tls)
        .application_name("assay")
        .disable_statement_logging())
}

/// Who gives certificates wants them checked: only the weaker check that the URL asks for by name is left as it is.
fn encrypted(mut target: PgConnectOptions, tls: &TlsMaterial) -> PgConnectOptions {
    if !tls.is_empty() && !matches!(target.get_ssl_mode(), PgSslMode::VerifyCa) {
        target = target.ssl_mode(PgSslMode::VerifyFull);
    }
    if let Some(authority) = &tls.authority {
        target = target.ssl_root_cert_from_pem(authority.expose().into());
    }
    if let Some(identity) = &tls.identity {
        target = target
            .ssl_client_cert_from_pem(identity.certificate.expose())
            .ssl_client_key_from_pem(identity.private_key.expose());
    }
    target
}

/// A pool that connects when first used. Liveness is not asked before each statement: that would cost a round trip.
pub(super) fn pool(options: &PostgresOptions, connections: u32) -> Result<PgPool, StoreError> {
    let settings = session_settings(options);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.connect_timeout)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { connection.execute(AssertSqlSafe(settings)).await.map(drop) })
        });
    Ok(pool.connect_lazy_with(connect_options(options)?))
}

/// The server ends what takes too long, and notices within seconds that a client's machine is gone.
fn session_settings(options: &PostgresOptions) -> String {
    format!(
        "SET search_path TO {}; SET statement_timeout TO {}; SET default_transaction_isolation TO 'read committed'; \
         SET tcp_keepalives_idle TO 5; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3",
        quoted(&options.schema),
        options.statement_timeout.as_millis(),
    )
}

/// A name as an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl PostgresStore {
    /// Runs statements on one connection. A connection that does not answer in time is dropped, never reused.
    pub(super) async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(errors::classify)?;
        match tokio::time::timeout(self.patience, work(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(discard_if_lost(connection, error)),
            Err(_) => {
                drop(connection.detach());
                Err(StoreError::Unavailable(format!("no answer within {:?}", self.patience)))
            }
        }
    }
}

/// After a refusal the connection is as good as before; after anything else it is closed.
fn discard_if_lost(connection: PoolConnection<Postgres>, error: sqlx::Error) -> StoreError {
    let error = errors::classify(error);
    if matches!(error, StoreError::Unavailable(_)) {
        drop(connection.detach());
    }
    error
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::secret::Secret;

    #[rstest]
    #[case::nothing_said("postgres://h/d", PgSslMode::VerifyFull)]
    #[case::encryption_only("postgres://h/d?sslmode=require", PgSslMode::VerifyFull)]
    #[case::authority_only("postgres://h/d?sslmode=verify-ca", PgSslMode::VerifyCa)]
    fn a_given_authority_is_never_ignored(#[case] url: &str, #[case] wanted: PgSslMode) {
        let tls = TlsMaterial {
            authority: Some(Secret::new("pem")),
            identity: None,
        };
        let target = encrypted(PgConnectOptions::from_str(url).unwrap(), &tls);
        assert_eq!(format!("{:?}", target.get_ssl_mode()), format!("{wanted:?}"));
    }
}
