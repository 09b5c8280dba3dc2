//! What one revision wrote, beside what a backtest of the same trades writes: both must be the same text.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use assay_crds::{RevisionInstance, StrategyPipeline};
use assay_processor::backtest::Backtest;
use assay_processor::feed::input::{ReadingArgs, open_files};
use assay_processor::latest::{LatestState as _, MemoryLatest, RedisLatest, RedisOptions};
use assay_processor::stores::{PostgresOptions, PostgresStore, ResultStore as _, SqliteStore};
use assay_processor::tls::TlsMaterial;
use tokio::runtime::Runtime;

use crate::pipeline::ensure_equal;
use crate::scratch::Scratch;

/// All rows and all values of one revision.
#[derive(Debug, PartialEq, Eq)]
pub struct Results {
    /// The result store's rows, one a line.
    pub rows: String,
    /// The latest state, one field a line.
    pub latest: String,
}

impl Results {
    /// What stands in Postgres and in Redis.
    ///
    /// # Errors
    /// A store does not answer.
    pub fn of_stores(
        manifest: &StrategyPipeline,
        instance: &RevisionInstance,
        postgres_url: &str,
        redis_url: &str,
    ) -> Result<Self> {
        Runtime::new()?.block_on(async {
            let postgres = PostgresStore::new(&PostgresOptions::new(postgres_url, "assay"))?;
            let redis = RedisLatest::new(&RedisOptions {
                url: redis_url.into(),
                tls: TlsMaterial::default(),
                key_prefix: manifest.spec.results.redis.key_prefix.clone(),
                pipeline: instance.pipeline.clone(),
            })?;
            Ok(Self {
                rows: postgres.dump(&instance.pipeline, &instance.revision).await?,
                latest: redis.dump(&instance.revision).await?,
            })
        })
    }

    /// What a backtest of the files makes under the same identity.
    ///
    /// # Errors
    /// A file cannot be read, or the backtest stops.
    pub fn of_backtest(manifest: &StrategyPipeline, instance: &RevisionInstance, files: &[PathBuf]) -> Result<Self> {
        let scratch = Scratch::new("backtest")?;
        let file = scratch.path().join("results.sqlite");
        let reading = ReadingArgs {
            format: None,
            venue: "binance".into(),
            tick_interval: None,
        };
        Runtime::new()?.block_on(async {
            let mut run = Backtest::start(manifest, instance.clone(), SqliteStore::open(&file).await?, 0).await?;
            for record in open_files(&reading, files)?.records {
                run.apply(&record?).await?;
            }
            let latest = MemoryLatest::default();
            latest.publish(&instance.revision, &run.everything()).await?;
            run.finish().await?;
            let store = SqliteStore::open(&file).await?;
            Ok(Self {
                rows: store.dump(&instance.pipeline, &instance.revision).await?,
                latest: latest.dump(&instance.revision).await?,
            })
        })
    }

    /// Fails with the first lines that differ, or where no forecast was judged: equal emptiness shows nothing.
    ///
    /// # Errors
    /// The results differ or hold no outcome.
    pub fn ensure_equal(&self, wanted: &Self) -> Result<()> {
        ensure!(self.rows.contains("HIT"), "no forecast was judged:\n{}", self.rows);
        ensure_equal(&self.rows, &wanted.rows)?;
        ensure_equal(&self.latest, &wanted.latest)
    }
}
