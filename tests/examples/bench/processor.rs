//! `assay run` as a child: started on a log, watched in Postgres and Redis, checked at its end.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use assay_tests::ports::Port;
use assay_tests::{Database, Process, wait};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::child::{FETCHING, Measured, measure};
use crate::lab::{Lab, SETTLE_LIMIT};
use crate::log::{Log, Shape};

/// The default of `--snapshot-bytes`: one of each partition in three million records of the usual shape.
pub(crate) const SNAPSHOT_BYTES: i32 = 64 * 1024 * 1024;

/// What Postgres and Redis hold of one pipeline; empty at first.
pub(crate) struct Stores {
    database: Database,
    connection: PgConnection,
}

impl Stores {
    /// A new database with the schema, and an empty Redis.
    pub(crate) fn create(lab: &Lab, program: &Path) -> Result<Self> {
        let database = lab.postgres.create_database()?;
        lab.redis.flush()?;
        migrate(program, &database)?;
        let connection = lab.runtime.block_on(PgConnection::connect(&database.url()))?;
        Ok(Self { database, connection })
    }

    /// The next offset of every partition that has one.
    pub(crate) fn committed(&mut self, lab: &Lab) -> Result<Vec<i64>> {
        let query = sqlx::query_scalar("SELECT next_offset FROM assay.progress ORDER BY \"partition\"");
        Ok(lab.runtime.block_on(query.fetch_all(&mut self.connection))?)
    }

    /// Forecasts, outcomes, dead letters and faults.
    fn rows(&self) -> Result<[u64; 4]> {
        let counts = self.database.query(
            "SELECT (SELECT count(*) FROM assay.forecasts), (SELECT count(*) FROM assay.strategy_results),
                (SELECT count(*) FROM assay.dead_letters), (SELECT count(*) FROM assay.faults)",
        )?;
        let counts: Vec<u64> = counts
            .concat()
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        counts
            .try_into()
            .map_err(|counts| anyhow::anyhow!("four counts were asked for, {counts:?} came"))
    }
}

/// A running processor.
pub(crate) struct Processor {
    pub(crate) child: Process,
    admin: Port,
}

impl Processor {
    /// Starts `assay run` with default settings and, if given, other snapshots.
    pub(crate) fn start(lab: &Lab, program: &Path, log: &Log, stores: &Stores, snapshot_bytes: i32) -> Result<Self> {
        let admin = Port::reserve()?;
        let mut command = Command::new(program);
        command.arg("run").arg("--pipeline").arg(manifest_file(lab, log)?);
        command.arg("--admin").arg(format!("127.0.0.1:{}", admin.number()));
        command.arg("--snapshot-bytes").arg(snapshot_bytes.to_string());
        command.env("ASSAY_POSTGRES_URL", stores.database.url());
        command.env("ASSAY_REDIS_URL", lab.redis.url());
        let child = Process::spawn("assay", command, &lab.fresh_log("assay")?)?;
        Ok(Self { child, admin })
    }

    /// A count of `/status`.
    pub(crate) fn total(&self, name: &str) -> Result<u64> {
        let status: Value = serde_json::from_str(&assay_tests::http::get(self.admin.number(), "/status")?)?;
        status["totals"][name]
            .as_u64()
            .with_context(|| format!("no total {name}"))
    }

    /// Ends it by SIGTERM and expects success.
    pub(crate) fn shut_down(mut self) -> Result<()> {
        self.child.signal(Signal::SIGTERM);
        let status = self.child.wait(SETTLE_LIMIT)?;
        ensure!(status.success(), "assay failed:\n{}", self.child.log_tail());
        Ok(())
    }
}

/// `assay run` on empty stores, from the log's start to its end in Postgres; then checks what it wrote.
pub(crate) fn measure_processor(lab: &Lab, program: &Path, log: &Log) -> Result<Measured> {
    let mut stores = Stores::create(lab, program)?;
    // As many snapshots of each symbol however many partitions share the log.
    let snapshot_bytes = SNAPSHOT_BYTES / log.shape.partitions * Shape::USUAL.partitions;
    let mut processor = Processor::start(lab, program, log, &stores, snapshot_bytes)?;
    let measured = measure(&mut processor.child, log.records, FETCHING, |_| {
        Ok(stores.committed(lab)? == log.ends)
    })?;
    check(lab, &processor, &stores, log)?;
    processor.shut_down()?;
    Ok(measured)
}

/// A fast run that computed nothing would be no measurement.
fn check(lab: &Lab, processor: &Processor, stores: &Stores, log: &Log) -> Result<()> {
    wait::until(SETTLE_LIMIT, "the markers at the log's end", || {
        Ok((published(lab)? == log.ends).then_some(()))
    })?;
    let [forecasts, outcomes, dead_letters, faults] = stores.rows()?;
    // Markets that are dealt to more symbols than usual trade too seldom to be judged.
    let is_usual = log.shape == Shape::USUAL;
    ensure!(
        !is_usual || forecasts > 0 && outcomes > 0,
        "no row was written: take more records"
    );
    ensure!(
        dead_letters + faults == 0,
        "{dead_letters} dead letters, {faults} faults"
    );
    ensure!(
        processor.total("records")? == log.records as u64,
        "not every record was stepped once"
    );
    let snapshots = processor.total("snapshots")?;
    ensure!(snapshots > 0, "no snapshot was written: take more records");
    eprintln!(
        "rows: {forecasts} forecasts, {outcomes} outcomes; {} commits, {} publishes, {snapshots} snapshots",
        processor.total("commits")?,
        processor.total("publishes")?,
    );
    Ok(())
}

/// The marker of every partition that has one.
fn published(lab: &Lab) -> Result<Vec<i64>> {
    let mut connection = lab.redis.connection()?;
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("assay:*:markers").query(&mut connection)?;
    let Some(key) = keys.first() else { return Ok(Vec::new()) };
    let markers: std::collections::BTreeMap<i32, i64> = ::redis::cmd("HGETALL").arg(key).query(&mut connection)?;
    Ok(markers.into_values().collect())
}

/// The manifest of a pipeline that reads the log with the defaults of every setting.
pub(crate) fn manifest_file(lab: &Lab, log: &Log) -> Result<PathBuf> {
    let file = lab.scratch.path().join("pipeline.yaml");
    // JSON is YAML.
    std::fs::write(&file, manifest(lab, log).to_string())?;
    Ok(file)
}

fn manifest(lab: &Lab, log: &Log) -> Value {
    json!({
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "StrategyPipeline",
        "metadata": {"name": "bench", "namespace": "bench"},
        "spec": {
            "kafka": {"bootstrapServers": lab.kafka.bootstrap()},
            "source": {"topic": log.topic, "partitions": log.shape.partitions, "replicationFactor": 1},
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
