//! The servers, the log, and one measured child at a time.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use assay_processor::ingest::client::Connection;
use assay_tests::ports::Port;
use assay_tests::scratch::Scratch;
use assay_tests::{Database, Kafka, Postgres, Process, Redis, wait};
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;

use crate::child::{Measured, measure};
use crate::log::{PARTITIONS, records};

/// Several snapshots of each partition in a million records; the default would write none.
pub(crate) const SNAPSHOT_BYTES: u32 = 8 * 1024 * 1024;
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// Everything that runs while children are measured.
pub(crate) struct Lab {
    kafka: Kafka,
    postgres: Postgres,
    redis: Redis,
    scratch: Scratch,
    runtime: Runtime,
    topic: String,
    records: usize,
    value_bytes: usize,
    ends: Vec<i64>,
}

impl Lab {
    /// Starts the servers and fills the log.
    pub(crate) fn start(count: usize, slowness: i64) -> Result<Self> {
        let (kafka, postgres, redis) = (Kafka::start()?, Postgres::start()?, Redis::start()?);
        let topic = kafka.create_topic("bench", PARTITIONS)?;
        let mut value_bytes = 0;
        let counted = records(slowness)?
            .take(count)
            .inspect(|record| value_bytes += record.value.len());
        kafka.produce(&topic, counted)?;
        let ends = kafka.log_ends(&topic, PARTITIONS)?;
        ensure!(
            ends.iter().sum::<i64>() == i64::try_from(count)?,
            "the log holds {ends:?} instead of {count} records"
        );
        Ok(Self {
            kafka,
            postgres,
            redis,
            scratch: Scratch::new("bench")?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            topic,
            records: count,
            value_bytes: value_bytes / count,
            ends,
        })
    }

    /// Mean length of a value.
    pub(crate) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// A consumer that does nothing.
    pub(crate) fn measure_floor(&self, program: &Path, call: &str) -> Result<Measured> {
        let mut command = Command::new(program);
        command.args([call, &self.topic]);
        command.args([PARTITIONS.to_string(), self.records.to_string()]);
        command.args(self.client_settings()?);
        let log = self.fresh_log()?;
        let mut child = Process::spawn("the floor", command, &log)?;
        measure(&mut child, self.records, |child| {
            Ok(child.log()?.lines().any(|line| line == "end"))
        })
    }

    /// Those of the processor's own consumer.
    fn client_settings(&self) -> Result<Vec<String>> {
        let connection = Connection {
            bootstrap_servers: self.kafka.bootstrap(),
            ..Connection::default()
        };
        let config = connection.group_member("floor")?;
        let settings = config.config_map();
        Ok(settings.iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    /// `assay run` on empty stores, from the log's start to its end in Postgres; then checks what it wrote.
    pub(crate) fn measure_processor(&self, program: &Path) -> Result<Measured> {
        let database = self.postgres.create_database()?;
        self.redis.flush()?;
        migrate(program, &database)?;
        let admin = Port::reserve()?;
        let mut child = Process::spawn(
            "assay",
            self.run_command(program, &database, &admin)?,
            &self.fresh_log()?,
        )?;
        let mut connection = self.runtime.block_on(PgConnection::connect(&database.url()))?;
        let measured = measure(&mut child, self.records, |_| {
            Ok(self.committed(&mut connection)? == self.ends)
        })?;
        self.check(&database, &admin)?;
        child.signal(Signal::SIGTERM);
        ensure!(
            child.wait(SETTLE_LIMIT)?.success(),
            "assay failed:\n{}",
            child.log_tail()
        );
        Ok(measured)
    }

    fn run_command(&self, program: &Path, database: &Database, admin: &Port) -> Result<Command> {
        let manifest = self.scratch.path().join("pipeline.yaml");
        // JSON is YAML.
        std::fs::write(&manifest, self.manifest().to_string())?;
        let mut command = Command::new(program);
        command.arg("run").arg("--pipeline").arg(manifest);
        command.arg("--admin").arg(format!("127.0.0.1:{}", admin.number()));
        command.arg("--snapshot-bytes").arg(SNAPSHOT_BYTES.to_string());
        command.env("ASSAY_POSTGRES_URL", database.url());
        command.env("ASSAY_REDIS_URL", self.redis.url());
        Ok(command)
    }

    /// The defaults of every setting.
    fn manifest(&self) -> serde_json::Value {
        json!({
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "StrategyPipeline",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "kafka": {"bootstrapServers": self.kafka.bootstrap()},
                "source": {"topic": self.topic, "partitions": PARTITIONS, "replicationFactor": 1},
                "settings": {"strategies": [
                    {"name": "vwap-reversion", "type": "VwapReversion"},
                    {"name": "range-breakout", "type": "RangeBreakout"},
                ]},
                "results": {
                    "postgres": {"secret": {"name": "results", "key": "url"}},
                    "redis": {"secret": {"name": "latest", "key": "url"}},
                },
            },
        })
    }

    /// A file of its own for each child: the marks of one must not be taken for those of the next.
    fn fresh_log(&self) -> Result<std::path::PathBuf> {
        let log = self.scratch.path().join("child.log");
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        Ok(log)
    }

    fn committed(&self, connection: &mut PgConnection) -> Result<Vec<i64>> {
        let query = sqlx::query_scalar("SELECT next_offset FROM assay.progress ORDER BY \"partition\"");
        Ok(self.runtime.block_on(query.fetch_all(connection))?)
    }

    /// A fast run that computed nothing would be no measurement.
    fn check(&self, database: &Database, admin: &Port) -> Result<()> {
        wait::until(SETTLE_LIMIT, "the markers at the log's end", || {
            Ok((self.published()? == self.ends).then_some(()))
        })?;
        let counts = database.query(
            "SELECT (SELECT count(*) FROM assay.forecasts), (SELECT count(*) FROM assay.strategy_results),
                (SELECT count(*) FROM assay.dead_letters), (SELECT count(*) FROM assay.faults)",
        )?;
        let counts: Vec<u64> = counts
            .concat()
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        let [forecasts, outcomes, dead_letters, faults] = counts[..] else {
            anyhow::bail!("four counts were asked for, {} came", counts.len());
        };
        ensure!(forecasts > 0 && outcomes > 0, "no row was written: take more records");
        ensure!(
            dead_letters + faults == 0,
            "{dead_letters} dead letters, {faults} faults"
        );
        let status: serde_json::Value = serde_json::from_str(&assay_tests::http::get(admin.number(), "/status")?)?;
        let total = |name: &str| {
            status["totals"][name]
                .as_u64()
                .with_context(|| format!("no total {name}"))
        };
        ensure!(
            total("records")? == self.records as u64,
            "not every record was stepped once"
        );
        ensure!(total("snapshots")? > 0, "no snapshot was written: take more records");
        eprintln!(
            "rows: {forecasts} forecasts, {outcomes} outcomes; {} commits, {} publishes, {} snapshots",
            total("commits")?,
            total("publishes")?,
            total("snapshots")?
        );
        Ok(())
    }

    fn published(&self) -> Result<Vec<i64>> {
        let mut connection = self.redis.connection()?;
        let keys: Vec<String> = ::redis::cmd("KEYS").arg("assay:*:markers").query(&mut connection)?;
        let Some(key) = keys.first() else { return Ok(Vec::new()) };
        let markers: std::collections::BTreeMap<i32, i64> = ::redis::cmd("HGETALL").arg(key).query(&mut connection)?;
        Ok(markers.into_values().collect())
    }
}

fn migrate(program: &Path, database: &Database) -> Result<()> {
    let output = Command::new(program)
        .args(["migrate", "--postgres-url", &database.url()])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "assay migrate: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
