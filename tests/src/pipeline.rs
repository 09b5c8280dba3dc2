//! One pipeline under test: its topic, its manifest, its processors, and the stores it writes to.
//!
//! The same pipeline can be run against a second pair of stores: what an undisturbed run leaves there is the oracle.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::processor::{self, Processor};
use crate::scratch::{Scratch, unique};
use crate::{Database, Kafka, Redis, wait};

/// Long enough for an expired session, a replay and a slow machine.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(3);
const START_LIMIT: Duration = Duration::from_mins(1);

/// Where a processor writes, directly or through proxies.
#[derive(Debug)]
pub struct Endpoints {
    /// The result store, for questions of the test.
    pub database: Database,
    /// The latest-state store, for questions of the test.
    pub redis: std::sync::Arc<Redis>,
    /// Port through which processors reach the result store.
    pub postgres_port: u16,
    /// Port through which processors reach the latest-state store.
    pub redis_port: u16,
}

impl Endpoints {
    /// Stores without anything in between.
    #[must_use]
    pub fn direct(database: Database, redis: std::sync::Arc<Redis>) -> Self {
        let (postgres_port, redis_port) = (database.port(), redis.port());
        Self {
            database,
            redis,
            postgres_port,
            redis_port,
        }
    }

    /// Creates the tables.
    ///
    /// # Errors
    /// `assay migrate` fails.
    pub fn migrate(&self) -> Result<()> {
        let output = processor::run_to_end(&["migrate", "--postgres-url", &self.database.url()])?;
        ensure!(
            output.status.success(),
            "assay migrate: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// What a processor is started with beyond the pipeline's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// A consumer group apart, so that scenarios beside each other share a topic and a revision.
    pub group_prefix: Option<&'a str>,
    /// Crash points, as `ASSAY_CRASH` names them.
    pub crash: &'a str,
    /// Further arguments of `assay run`.
    pub arguments: &'a [&'a str],
}

/// A pipeline on a topic of its own; `K` owns the broker or borrows it.
#[derive(Debug)]
pub struct Pipeline<K> {
    kafka: K,
    topic: String,
    partitions: i32,
    scratch: Scratch,
    started: AtomicU32,
}

impl<K: Deref<Target = Kafka>> Pipeline<K> {
    /// Creates the topic and the manifest.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn create(kafka: K, partitions: i32) -> Result<Self> {
        // Large records are among the tests.
        let topic = kafka.create_topic_with(&unique("trades"), partitions, &[("max.message.bytes", "20000000")])?;
        let pipeline = Self {
            kafka,
            topic,
            partitions,
            scratch: Scratch::new("pipeline")?,
            started: AtomicU32::new(0),
        };
        pipeline.change_manifest(|_| ())?;
        Ok(pipeline)
    }

    /// The source topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The manifest's file.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.scratch.path().join("pipeline.yaml")
    }

    /// Writes the manifest anew with a change made to it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn change_manifest(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut manifest = manifest(&self.kafka.bootstrap(), &self.topic, self.partitions);
        change(&mut manifest);
        // JSON is YAML.
        Ok(std::fs::write(self.manifest(), serde_json::to_vec_pretty(&manifest)?)?)
    }

    /// Starts a processor.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn start(&self, endpoints: &Endpoints, options: &Options<'_>) -> Result<Processor> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.scratch.path().join(format!("processor-{number}.log"));
        let manifest = self.manifest_for(options)?;
        let configure = |command: &mut std::process::Command, admin: u16| {
            command
                .arg("run")
                .arg("--pipeline")
                .arg(&manifest)
                .arg("--admin")
                .arg(format!("127.0.0.1:{admin}"));
            command.args(["--snapshot-bytes", "200000"]).args(options.arguments);
            command.env(
                "ASSAY_POSTGRES_URL",
                endpoints.database.url_through(endpoints.postgres_port),
            );
            command.env("ASSAY_REDIS_URL", endpoints.redis.url_through(endpoints.redis_port));
            command.env("ASSAY_CRASH", options.crash);
        };
        Processor::start(&format!("processor {number}"), configure, &log)
    }

    fn manifest_for(&self, options: &Options<'_>) -> Result<PathBuf> {
        let Some(prefix) = options.group_prefix else {
            return Ok(self.manifest());
        };
        let file = self.scratch.path().join(format!("{prefix}.yaml"));
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(self.manifest())?)?;
        manifest["spec"]["kafka"]["groupPrefix"] = prefix.into();
        std::fs::write(&file, manifest.to_string())?;
        Ok(file)
    }

    /// Waits until a processor has registered the revision and joined the group.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub fn wait_until_ready(&self, processor: &mut Processor) -> Result<()> {
        wait::until(START_LIMIT, "a ready processor", || {
            processor.process().ensure_running()?;
            Ok(processor.get("/readyz").is_ok().then_some(()))
        })
    }

    /// Whether rows and projection stand at the log's end in every partition.
    ///
    /// # Errors
    /// Kafka does not answer; a store that is away counts as not there yet.
    pub fn is_caught_up(&self, endpoints: &Endpoints) -> Result<bool> {
        let ends = self.kafka.log_ends(&self.topic, self.partitions)?;
        let committed = committed_offsets(endpoints).unwrap_or_default();
        let published = published_offsets(endpoints).unwrap_or_default();
        Ok(committed == ends && published == ends)
    }

    /// Waits until rows and projection stand at the log's end in every partition.
    ///
    /// # Errors
    /// They do not arrive there in time, or `check` fails.
    pub fn wait_until_caught_up(&self, endpoints: &Endpoints, mut check: impl FnMut() -> Result<()>) -> Result<()> {
        let caught_up = wait::until(CATCH_UP_LIMIT, "the log's end in every partition", || {
            check()?;
            Ok(self.is_caught_up(endpoints)?.then_some(()))
        });
        let place = || {
            format!(
                "log ends {:?}, committed {:?}, published {:?}",
                self.kafka.log_ends(&self.topic, self.partitions),
                committed_offsets(endpoints),
                published_offsets(endpoints)
            )
        };
        caught_up.map_err(|error| error.context(place()))
    }

    /// Registers the revision on an empty log, as the run under test does: where rows begin to count as live depends on it.
    ///
    /// # Errors
    /// The processor does not start.
    pub fn register(&self, endpoints: &Endpoints) -> Result<()> {
        endpoints.migrate()?;
        let mut processor = self.start(endpoints, &Options::default())?;
        self.wait_until_ready(&mut processor)?;
        self.shut_down(processor)
    }

    /// Runs one processor to the log's end without any disturbance and ends it in order.
    ///
    /// # Errors
    /// It fails, or does not arrive in time.
    pub fn run_undisturbed(&self, endpoints: &Endpoints) -> Result<()> {
        let mut processor = self.start(endpoints, &Options::default())?;
        self.wait_until_caught_up(endpoints, || processor.process().ensure_running())?;
        self.shut_down(processor)
    }

    /// Ends a processor by SIGTERM and expects success.
    ///
    /// # Errors
    /// It does not end in time, or not with success.
    pub fn shut_down(&self, mut processor: Processor) -> Result<()> {
        processor.process().signal(nix::sys::signal::Signal::SIGTERM);
        let status = processor.process().wait(START_LIMIT)?;
        ensure!(
            status.success(),
            "SIGTERM ended with {status}:\n{}",
            processor.process().log_tail()
        );
        Ok(())
    }
}

/// Windows are short, so that minutes of trades make many forecasts and outcomes.
fn manifest(bootstrap: &str, topic: &str, partitions: i32) -> Value {
    json!({
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "StrategyPipeline",
        "metadata": {"name": topic, "namespace": "tests"},
        "spec": {
            "kafka": {"bootstrapServers": bootstrap},
            "source": {"topic": topic, "partitions": partitions, "replicationFactor": 1},
            "settings": {
                "lateness": "1s",
                "indicators": {"vwapWindow": "30s", "profileWindow": "30s", "rangeBar": "5s", "rangeBars": 4},
                "strategies": [
                    {"name": "vwap-reversion", "type": "VwapReversion",
                     "vwapReversion": {"entryZ": "1.0", "exitZ": "0.5", "maxZ": "3.0", "minTrades": 10, "minDeviationTicks": "1"}},
                    {"name": "range-breakout", "type": "RangeBreakout",
                     "rangeBreakout": {"volumeRatio": "1.1", "volumeBars": 4}},
                ],
                "evaluation": {"horizon": "10s", "staleAfter": "5s"},
            },
            "results": {
                "postgres": {"secret": {"name": "results", "key": "url"}},
                "redis": {"secret": {"name": "latest", "key": "url"}},
            },
            "processor": {"commit": {"interval": "50ms", "publishInterval": "20ms"}},
        },
    })
}

fn committed_offsets(endpoints: &Endpoints) -> Result<Vec<i64>> {
    let rows = endpoints
        .database
        .query("SELECT next_offset FROM assay.progress ORDER BY \"partition\"")?;
    rows.iter().map(|row| Ok(row[0].parse()?)).collect()
}

fn published_offsets(endpoints: &Endpoints) -> Result<Vec<i64>> {
    let mut connection = endpoints.redis.connection()?;
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("assay:*:markers").query(&mut connection)?;
    ensure!(keys.len() == 1, "the markers of {} revisions", keys.len());
    let markers: std::collections::BTreeMap<i32, i64> = ::redis::cmd("HGETALL").arg(&keys[0]).query(&mut connection)?;
    Ok(markers.into_values().collect())
}

/// Everything the pipeline wrote, as text: two runs of one log must give the same.
///
/// # Errors
/// A store does not answer.
pub fn dump(endpoints: &Endpoints) -> Result<String> {
    Ok(endpoints.database.dump("assay")? + &endpoints.redis.dump("assay:*")?)
}

/// Fails with the first lines that differ.
///
/// # Errors
/// The dumps differ.
pub fn ensure_equal(found: &str, wanted: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let (found_lines, wanted_lines): (Vec<_>, Vec<_>) = (found.lines().collect(), wanted.lines().collect());
    let only = |these: &[&str], those: &[&str]| -> Vec<String> {
        let those: std::collections::BTreeSet<&str> = those.iter().copied().collect();
        these
            .iter()
            .filter(|line| !those.contains(*line))
            .map(|line| (*line).to_owned())
            .collect()
    };
    let (extra, missing) = (only(&found_lines, &wanted_lines), only(&wanted_lines, &found_lines));
    let show = |lines: &[String]| lines.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
    anyhow::bail!(
        "the results differ from the undisturbed run's: {} lines too many:\n  {}\n{} lines missing:\n  {}",
        extra.len(),
        show(&extra),
        missing.len(),
        show(&missing)
    )
}
