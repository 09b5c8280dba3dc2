//! The servers that run while children are measured, and what every child needs of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use assay_processor::ingest::client::Connection;
use assay_tests::scratch::Scratch;
use assay_tests::{Kafka, Postgres, Redis};
use tokio::runtime::Runtime;

/// Longest wait for anything that is not measured.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// One broker, one Postgres, one Redis.
pub(crate) struct Lab {
    pub(crate) kafka: Kafka,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) scratch: Scratch,
    pub(crate) runtime: Runtime,
}

impl Lab {
    /// Starts the servers.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            kafka: Kafka::start()?,
            postgres: Postgres::start()?,
            redis: Redis::start()?,
            scratch: Scratch::new("bench")?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// The client settings of the processor's own consumer, for those who are compared with it.
    pub(crate) fn client_settings(&self) -> Result<Vec<String>> {
        let connection = Connection {
            bootstrap_servers: self.kafka.bootstrap(),
            ..Connection::default()
        };
        let config = connection.group_member("floor")?;
        let settings = config.config_map();
        Ok(settings.iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    /// A file of its own for each child: the marks of one must not be taken for those of the next.
    pub(crate) fn fresh_log(&self, name: &str) -> Result<PathBuf> {
        let log = self.scratch.path().join(format!("{name}.log"));
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        Ok(log)
    }
}
