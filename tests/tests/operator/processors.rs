//! A settings change under load with real processors: replay, catch-up, promotion, retirement, rollback. Readers never step back, and
//! both revisions hold what an undisturbed run makes of the same log.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use assay_crds::RevisionInstance;
use assay_tests::kafka::NewRecord;
use assay_tests::processor::{Processor, run_to_end};
use assay_tests::scratch::{Scratch, unique};
use assay_tests::trades::{RecordedTrade, slow_hour};
use assay_tests::{Database, Kafka, Postgres, Redis, wait};
use redis::Commands as _;
use serde_json::{Value, json};

use crate::lab::{LIMIT, Lab};
use crate::pods::Pods;

const PARTITIONS: i32 = 3;

/// A lab with a Redis of its own, the pods that run, and what readers have seen.
struct System {
    lab: Lab,
    pods: Pods,
    redis: Redis,
    topic: String,
    seen: BTreeMap<String, i64>,
    reads: usize,
}

impl System {
    fn start() -> Result<Self> {
        let lab = Lab::start()?;
        let redis = Redis::start()?;
        lab.put_secret("latest", &redis.url())?;
        let topic = unique("raw.trades");
        lab.apply(&busy(lab.manifest("majors", &topic)))?;
        Ok(Self {
            lab,
            pods: Pods::default(),
            redis,
            topic,
            seen: BTreeMap::new(),
            reads: 0,
        })
    }

    fn produce(&self, trades: &[RecordedTrade]) -> Result<()> {
        let records: Vec<NewRecord> = trades.iter().map(RecordedTrade::record).collect();
        Kafka::shared()?.produce(&self.topic, records)
    }

    /// Waits for a state while pods run and a reader reads.
    fn until<T>(&mut self, what: &str, probe: impl Fn(&Lab) -> Result<Option<T>>) -> Result<T> {
        let found = wait::until(LIMIT * 2, what, || {
            self.pods.follow(&self.lab)?;
            self.read()?;
            probe(&self.lab)
        });
        found.with_context(|| self.lab.kubectl(&["get", "sp", "-o", "yaml"]).unwrap_or_default())
    }

    /// Reads as a dashboard does: the live revision's symbols. No version may be older than one seen before.
    fn read(&mut self) -> Result<()> {
        let mut redis = self.redis.connection()?;
        let live: Vec<String> = redis.keys("*:live")?;
        let Some(key) = live.first() else { return Ok(()) };
        let prefix = key.trim_end_matches(":live");
        let revision: String = redis.get(key)?;
        let symbols: Vec<String> = redis.keys(format!("{prefix}:{revision}:*"))?;
        for symbol in symbols.iter().filter(|key| !key.ends_with(":markers")) {
            let version: i64 = redis.hget(symbol, "version")?;
            let name = symbol.rsplit(':').next().unwrap_or_default().to_owned();
            let before = self.seen.insert(name.clone(), version).unwrap_or(i64::MIN);
            ensure!(
                version >= before,
                "{name} went back from {before} to {version} in {revision}"
            );
            self.reads += 1;
        }
        Ok(())
    }

    fn until_live(&mut self, revision: &str) -> Result<()> {
        self.until(&format!("{revision} to be live"), |lab| {
            let live = lab.get("majors")?.status.and_then(|status| status.live_revision);
            Ok((live.as_deref() == Some(revision)).then_some(()))
        })
    }

    /// Waits until a revision has read the whole log, and readers follow it.
    fn until_shown(&mut self, revision: &str) -> Result<()> {
        let ends = Kafka::shared()?.log_ends(&self.topic, PARTITIONS)?;
        self.until(&format!("{revision} at the log's end"), |lab| {
            Ok((progress(&lab.database, revision)? == ends).then_some(()))
        })?;
        let url = self.redis.url();
        self.until(&format!("readers to follow {revision}"), |_| {
            let mut redis = redis::Client::open(url.as_str())?.get_connection()?;
            let live: Vec<String> = redis.keys("*:live")?;
            let shown: Option<String> = live.first().map(|key| redis.get(key)).transpose()?;
            Ok((shown.as_deref() == Some(revision)).then_some(()))
        })
    }
}

fn progress(database: &Database, revision: &str) -> Result<Vec<i64>> {
    let rows = database.query(&format!(
        "SELECT next_offset FROM assay.progress WHERE revision = '{revision}' ORDER BY \"partition\""
    ))?;
    rows.iter().map(|row| Ok(row[0].parse()?)).collect()
}

/// Windows are short, so that minutes of trades make many forecasts and outcomes.
fn busy(mut manifest: Value) -> Value {
    manifest["spec"]["settings"] = json!({
        "lateness": "1s",
        "indicators": {"vwapWindow": "30s", "profileWindow": "30s", "rangeBar": "5s", "rangeBars": 4},
        "strategies": [{
            "name": "vwap-reversion", "type": "VwapReversion",
            "vwapReversion": {"entryZ": "1.0", "exitZ": "0.5", "maxZ": "3.0", "minTrades": 10, "minDeviationTicks": "1"},
        }],
        "evaluation": {"horizon": "10s", "staleAfter": "5s"},
    });
    manifest["spec"]["processor"] = json!({"replicas": 2, "commit": {"interval": "50ms", "publishInterval": "20ms"}});
    manifest
}

/// What the processors of every revision that was ever started were told, by revision.
type Told = BTreeMap<String, BTreeMap<String, String>>;

fn told(lab: &Lab) -> Result<Told> {
    let data = lab.config_maps()?.into_iter().filter_map(|map| map.data);
    let with_revision = data.filter_map(|data| {
        let instance: RevisionInstance = serde_json::from_str(data.get("revision.json")?).ok()?;
        Some((instance.revision, data))
    });
    Ok(with_revision.collect())
}

/// Rows of all revisions, without what promotions changed.
fn rows(database: &Database) -> Result<String> {
    let dump = database.dump("assay")?;
    Ok(dump
        .lines()
        .filter(|line| !line.starts_with("pipelines "))
        .collect::<Vec<_>>()
        .join("\n"))
}

/// One undisturbed processor after another reads the same log for each revision into a database of its own.
fn undisturbed(told: &Told, ends: &[i64]) -> Result<String> {
    let (database, redis) = (Postgres::shared()?.create_database()?, Redis::start()?);
    let output = run_to_end(&["migrate", "--postgres-url", &database.url()])?;
    ensure!(output.status.success(), "assay migrate failed");
    for (revision, files) in told {
        let folder = Scratch::new("undisturbed")?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text)?;
        }
        let mut processor = Processor::start(
            revision,
            |command, admin| {
                command.arg("run").env("ASSAY_ADMIN", format!("127.0.0.1:{admin}"));
                command.env("ASSAY_PIPELINE_FILE", folder.path().join("pipeline.json"));
                command.env("ASSAY_REVISION_FILE", folder.path().join("revision.json"));
                command
                    .env("ASSAY_POSTGRES_URL", database.url())
                    .env("ASSAY_REDIS_URL", redis.url());
            },
            &folder.path().join("log"),
        )?;
        wait::until(LIMIT, "the log's end", || {
            processor.process().ensure_running()?;
            Ok((progress(&database, revision)? == ends).then_some(()))
        })?;
        processor.process().signal(nix::sys::signal::Signal::SIGTERM);
        processor.process().wait(LIMIT)?;
    }
    rows(&database)
}

#[test]
fn settings_change_under_load_and_back_while_readers_never_step_back() -> Result<()> {
    let trades = slow_hour(4)?;
    let (before, after) = trades.split_at(trades.len() / 2);
    let mut system = System::start()?;
    let first = system.until("the first instance", |lab| Ok(lab.instances()?.into_keys().next()))?;
    system.produce(before)?;
    system.until_live(&first)?;
    system.until_shown(&first)?;
    let mut all_told = told(&system.lab)?;

    let change = json!({"spec": {"settings": {"indicators": {"vwapWindow": "60s"}}}});
    system.lab.patch("majors", &change)?;
    let second = system.until("a second instance", |lab| {
        Ok(lab.instances()?.into_keys().find(|revision| *revision != first))
    })?;
    all_told.extend(told(&system.lab)?);
    system.produce(after)?;
    system.until_live(&second)?;
    system.until_shown(&second)?;
    system.until("the first revision to stop", |lab| {
        Ok(lab.replicas(&first)?.is_none().then_some(()))
    })?;

    system.lab.assay(&["rollback", "majors"])?;
    system.until_live(&first)?;
    system.until_shown(&first)?;
    ensure!(system.reads > 100, "{} reads show nothing", system.reads);
    let ends = Kafka::shared()?.log_ends(&system.topic, PARTITIONS)?;
    system.pods.stop()?;
    let made = rows(&system.lab.database)?;
    for table in ["forecasts", "strategy_results"] {
        ensure!(
            made.lines().any(|line| line.starts_with(table)),
            "no {table}: nothing is shown"
        );
    }
    let expected = undisturbed(&all_told, &ends)?;
    ensure!(made == expected, "rows differ:\n{}", first_difference(&made, &expected));
    Ok(())
}

fn first_difference(left: &str, right: &str) -> String {
    let differs = left.lines().zip(right.lines()).find(|(l, r)| l != r);
    differs.map_or_else(|| "one has more lines".to_owned(), |(l, r)| format!("{l}\n{r}"))
}
