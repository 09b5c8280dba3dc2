//! From connection URLs to the stores of a run, each behind a circuit breaker.

use std::path::Path;
use std::sync::Arc;

use crate::latest::{LatestError, LatestState, MemoryLatest, RedisLatest, RedisOptions};
use crate::resilience::{Breaker, BreakerSettings, GuardedLatest, GuardedStore};
use crate::secret::Secret;
use crate::startup::Stores;
use crate::stores::{PostgresOptions, PostgresStore, ResultStore, SqliteStore, StoreError};
use crate::tls::TlsMaterial;

/// Where results go.
#[derive(Debug, Clone)]
pub struct Targets {
    /// `postgres://…`, or `sqlite:PATH` for one process on one machine.
    pub results: Secret,
    /// Certificates towards Postgres.
    pub results_tls: TlsMaterial,
    /// Schema of the tables in Postgres.
    pub schema: String,
    /// `redis://…` or `rediss://…`, or `memory:` for one process.
    pub latest: Secret,
    /// Certificates towards Redis.
    pub latest_tls: TlsMaterial,
    /// Start of every key in Redis.
    pub key_prefix: String,
    /// Pipeline uid.
    pub pipeline: String,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The scheme is unknown.
    #[error("{variable} starts with none of {known}; correct it")]
    Scheme {
        /// Where the URL comes from.
        variable: &'static str,
        /// What is known.
        known: &'static str,
    },
    /// The result store.
    #[error(transparent)]
    Results(#[from] StoreError),
    /// The latest-state store.
    #[error(transparent)]
    Latest(#[from] LatestError),
}

/// Prepares both stores; servers are reached when first used. Call inside a Tokio runtime.
///
/// # Errors
/// A URL cannot be understood, or a file cannot be opened.
pub async fn connect(targets: &Targets) -> Result<Stores, ConnectError> {
    let breaker = || Arc::new(Breaker::new(BreakerSettings::default()));
    let (results_breaker, latest_breaker) = (breaker(), breaker());
    let results = GuardedStore::new(results(targets).await?, Arc::clone(&results_breaker));
    let latest = GuardedLatest::new(latest(targets)?, Arc::clone(&latest_breaker));
    Ok(Stores {
        results: Arc::new(results),
        latest: Arc::new(latest),
        breakers: vec![("results", results_breaker), ("latest", latest_breaker)],
    })
}

async fn results(targets: &Targets) -> Result<Arc<dyn ResultStore>, ConnectError> {
    let url = targets.results.expose();
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Arc::new(SqliteStore::open(Path::new(path)).await?));
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let options = PostgresOptions {
            tls: targets.results_tls.clone(),
            ..PostgresOptions::new(url, &targets.schema)
        };
        return Ok(Arc::new(PostgresStore::new(&options)?));
    }
    Err(ConnectError::Scheme {
        variable: "ASSAY_POSTGRES_URL",
        known: "postgres://, postgresql://, sqlite:",
    })
}

fn latest(targets: &Targets) -> Result<Arc<dyn LatestState>, ConnectError> {
    let url = targets.latest.expose();
    if url == "memory:" {
        return Ok(Arc::new(MemoryLatest::default()));
    }
    if url.starts_with("redis:") || url.starts_with("rediss:") {
        let options = RedisOptions {
            url: url.to_owned(),
            tls: targets.latest_tls.clone(),
            key_prefix: targets.key_prefix.clone(),
            pipeline: targets.pipeline.clone(),
        };
        return Ok(Arc::new(RedisLatest::new(&options)?));
    }
    Err(ConnectError::Scheme {
        variable: "ASSAY_REDIS_URL",
        known: "redis://, rediss://, memory:",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(results: &str, latest: &str) -> Targets {
        Targets {
            results: Secret::new(results),
            schema: "assay".into(),
            results_tls: TlsMaterial::default(),
            latest: Secret::new(latest),
            latest_tls: TlsMaterial::default(),
            key_prefix: "assay".into(),
            pipeline: "p".into(),
        }
    }

    #[tokio::test]
    async fn an_embedded_run_needs_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("sqlite:{}", folder.path().join("results.db").display());
        let stores = connect(&targets(&path, "memory:")).await.unwrap();
        stores.results.check().await.unwrap();
        stores.latest.check().await.unwrap();
    }

    #[tokio::test]
    async fn an_unknown_scheme_names_the_variable_and_not_the_credential() {
        let error = connect(&targets("mysql://u:hunter2@h/d", "memory:"))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("ASSAY_POSTGRES_URL") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
