//! A settings change under load with real processors: replay, catch-up, promotion, retirement, the way back by settings and by rollback.
//! Readers never step back, and both revisions hold what a backtest of the same trades makes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use assay_crds::{RevisionInstance, StrategyPipeline, load_pipeline};
use assay_engine::Side;
use assay_processor::backtest::Backtest;
use assay_processor::feed::route::route;
use assay_processor::feed::{FeedRecord, OwnedTrade, PrintedTrade};
use assay_processor::stores::{PostgresOptions, PostgresStore, ResultStore as _, SqliteStore};
use assay_tests::kafka::NewRecord;
use assay_tests::pipeline::ensure_equal;
use assay_tests::scratch::{Scratch, unique};
use assay_tests::trades::{RecordedTrade, slow_hour};
use assay_tests::{Database, Kafka, Redis, wait};
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

    /// Produces trades as a feed does.
    fn produce(&self, trades: &[FeedRecord]) -> Result<()> {
        let routed = trades.iter().flat_map(|trade| route(trade, PARTITIONS));
        let records = routed.map(|routed| NewRecord {
            partition: Some(routed.partition),
            key: routed.key.into_bytes(),
            value: routed.value,
            timestamp_ms: None,
        });
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

/// What the processors of every revision that was ever started were told, manifest and instance, by revision.
type Told = BTreeMap<String, (StrategyPipeline, RevisionInstance)>;

fn told(lab: &Lab) -> Result<Told> {
    let data = lab.config_maps()?.into_iter().filter_map(|map| map.data);
    let told = data.map(|data| {
        let file = |name| data.get(name).with_context(|| format!("no {name}"));
        let instance: RevisionInstance = serde_json::from_str(file("revision.json")?)?;
        let manifest = load_pipeline(file("pipeline.json")?).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        Ok((instance.revision.clone(), (manifest, instance)))
    });
    told.collect()
}

/// A recorded trade as a feed reads it.
fn feed_record(trade: &RecordedTrade) -> Result<FeedRecord> {
    let printed = PrintedTrade {
        venue: "binance",
        symbol: &trade.symbol,
        trade_id: trade.trade_id,
        price: &trade.price,
        quantity: &trade.quantity,
        side: if trade.side == "sell" { Side::Sell } else { Side::Buy },
        event_time_us: trade.event_time_us,
        received_time_us: trade.event_time_us,
    };
    Ok(FeedRecord::Trade(OwnedTrade::try_from(printed)?))
}

/// Rows of a revision as a backtest of the trades makes them, without any server.
async fn backtest(manifest: &StrategyPipeline, instance: &RevisionInstance, trades: &[FeedRecord]) -> Result<String> {
    let folder = Scratch::new("backtest")?;
    let file = folder.path().join("results.sqlite");
    let mut run = Backtest::start(manifest, instance.clone(), SqliteStore::open(&file).await?, 0).await?;
    for trade in trades {
        run.apply(trade).await?;
    }
    run.finish().await?;
    Ok(SqliteStore::open(&file)
        .await?
        .dump(&instance.pipeline, &instance.revision)
        .await?)
}

async fn ensure_rows_of_a_backtest(database: &Database, told: &Told, trades: &[FeedRecord]) -> Result<()> {
    let store = PostgresStore::new(&PostgresOptions::new(database.url(), "assay"))?;
    for (revision, (manifest, instance)) in told {
        let made = store.dump(&instance.pipeline, revision).await?;
        ensure!(
            made.contains("HIT"),
            "no forecast of {revision} was judged: nothing is shown"
        );
        ensure_equal(&made, &backtest(manifest, instance, trades).await?).with_context(|| revision.clone())?;
    }
    Ok(())
}

fn change_window(lab: &Lab, window: &str) -> Result<()> {
    lab.patch(
        "majors",
        &json!({"spec": {"settings": {"indicators": {"vwapWindow": window}}}}),
    )
}

#[test]
fn settings_change_under_load_and_back_while_readers_never_step_back() -> Result<()> {
    let trades = slow_hour(4)?.iter().map(feed_record).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&[FeedRecord]> = trades.chunks(trades.len().div_ceil(3)).collect();
    let mut system = System::start()?;
    let first = system.until("the first instance", |lab| Ok(lab.instances()?.into_keys().next()))?;
    system.produce(parts[0])?;
    system.until_live(&first)?;
    system.until_shown(&first)?;
    let mut all_told = told(&system.lab)?;

    change_window(&system.lab, "60s")?;
    let second = system.until("a second instance", |lab| {
        Ok(lab.instances()?.into_keys().find(|revision| *revision != first))
    })?;
    all_told.extend(told(&system.lab)?);
    system.produce(parts[1])?;
    system.until_live(&second)?;
    system.until_shown(&second)?;
    system.until("the first revision to stop", |lab| {
        Ok(lab.replicas(&first)?.is_none().then_some(()))
    })?;

    // The settings come back while the log grows: their instance resumes where it stopped, and reads what it missed.
    change_window(&system.lab, "30s")?;
    system.produce(parts[2])?;
    system.until_live(&first)?;
    system.until_shown(&first)?;
    system.until("the second revision to stop", |lab| {
        Ok(lab.replicas(&second)?.is_none().then_some(()))
    })?;

    system.lab.assay(&["rollback", "majors"])?;
    system.until_live(&second)?;
    system.until_shown(&second)?;
    ensure!(system.reads > 100, "{} reads show nothing", system.reads);
    system.pods.stop()?;
    ensure!(all_told.len() == 2, "two revisions were made, and none anew");
    let lab = &system.lab;
    lab.runtime
        .block_on(ensure_rows_of_a_backtest(&lab.database, &all_told, &trades))
}
