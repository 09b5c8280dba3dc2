//! From producing a trade to seeing it in Redis, at 20,000 trades a second.
//!
//! A trade's event time is the instant at which it was handed to the producer, and `event_time_us` of a symbol's key says
//! which trade was its last. So a trade counts as visible when its symbol first shows this time or a later one; the symbols
//! are looked at every millisecond, and the end of the look counts.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use assay_tests::measure::{Usage, count};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::Arguments;
use crate::child::{FETCHING, wait_for_mark};
use crate::lab::{Lab, SETTLE_LIMIT};
use crate::log::{Log, MadeTrade, Shape, trades};
use crate::processor::{Processor, SNAPSHOT_BYTES, Stores};
use crate::table::Figures;

const TRADES_PER_MS: usize = 20;
/// Not counted: until every connection stands and every symbol has its key.
const WARM_UP: Duration = Duration::from_secs(5);
const COUNTED: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(1);

/// Rounds of a processor that follows a live feed.
pub(crate) fn measure_latency(lab: &Lab, arguments: &Arguments) -> Result<Figures> {
    let mut figures = Figures::new("24 symbols, 20,000 trades/s", 1);
    for round in 0..arguments.rounds {
        let followed = follow(lab, &arguments.assay[0])?;
        for (name, share) in [
            ("p50, ms", 0.5),
            ("p99, ms", 0.99),
            ("p99.9, ms", 0.999),
            ("most, ms", 1.0),
        ] {
            figures.add(name, followed.quantile_ms(share));
        }
        figures.add("trades a second", followed.rate);
        figures.add("processor's CPU, % of a core", followed.cores * 100.0);
        eprintln!("round {}: p99 {:.1} ms", round + 1, followed.quantile_ms(0.99));
    }
    Ok(figures)
}

/// What one round has shown.
struct Followed {
    /// Of every counted trade, in order.
    latencies_us: Vec<i64>,
    rate: f64,
    cores: f64,
}

impl Followed {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of some hundred thousand trades; milliseconds"
    )]
    fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.latencies_us.get(at).copied().unwrap_or_default() as f64 / 1e3
    }
}

fn follow(lab: &Lab, program: &Path) -> Result<Followed> {
    let topic = lab.kafka.create_topic("live", Shape::USUAL.partitions)?;
    let log = Log::empty(topic, Shape::USUAL);
    let (stores, drafts) = (Stores::create(lab, program)?, drafts()?);
    let mut processor = Processor::start(lab, program, &log, &stores, SNAPSHOT_BYTES)?;
    wait_for_mark(&mut processor.child, FETCHING, SETTLE_LIMIT)?;
    let sent = Sent::new(Shape::USUAL.symbols);
    let before = Usage::of(processor.child.id())?;
    let began = Instant::now();
    let mut latencies_us = std::thread::scope(|scope| {
        let feed = scope.spawn(|| feed(lab, &log.topic, &drafts, &sent));
        let seen = look(lab, &sent, || feed.is_finished());
        feed.join().map_err(|_| anyhow!("the feed panicked"))??;
        seen
    })?;
    let (seconds, after) = (began.elapsed().as_secs_f64(), Usage::of(processor.child.id())?);
    processor.shut_down()?;
    latencies_us.sort_unstable();
    Ok(Followed {
        rate: count(latencies_us.len() as u64) / COUNTED.as_secs_f64(),
        cores: (after.cpu_s - before.cpu_s) / seconds,
        latencies_us,
    })
}

/// Times at which the trades of each symbol were sent that are not visible yet.
struct Sent(Mutex<Vec<VecDeque<i64>>>);

impl Sent {
    fn new(symbols: usize) -> Self {
        Self(Mutex::new(vec![VecDeque::new(); symbols]))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<VecDeque<i64>>) -> T) -> T {
        // A poisoned lock means the feed panicked, which its owner reports.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stamps a trade that is about to be sent: no two of a symbol alike.
    fn stamp(&self, number: usize) -> i64 {
        self.with(|sent| {
            let times = &mut sent[number];
            let stamp = times.back().map_or(i64::MIN, |last| last + 1).max(now_us());
            times.push_back(stamp);
            stamp
        })
    }

    /// Takes out what a symbol's time shows to be visible.
    fn take_until(&self, number: usize, shown_us: i64, mut visible: impl FnMut(i64)) {
        self.with(|sent| {
            while let Some(sent_us) = sent[number].pop_front_if(|sent_us| *sent_us <= shown_us) {
                visible(sent_us);
            }
        });
    }

    fn is_empty(&self) -> bool {
        self.with(|sent| sent.iter().all(VecDeque::is_empty))
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A trade that lacks only its times: formatting the rest meanwhile would hold up the feed.
struct Draft {
    number: usize,
    partition: Option<i32>,
    key: Vec<u8>,
    /// The value up to its times.
    head: Vec<u8>,
}

const TIMES: &[u8] = b"\"event_time_us\":";

impl Draft {
    fn of(trade: &MadeTrade) -> Result<Self> {
        let record = trade.record();
        let times = record.value.windows(TIMES.len()).position(|bytes| bytes == TIMES);
        let head = record
            .value
            .get(..times.context("a trade without a time")? + TIMES.len());
        Ok(Self {
            number: trade.number,
            partition: record.partition,
            key: record.key,
            head: head.unwrap_or_default().to_vec(),
        })
    }

    fn send(&self, producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, sent: &Sent) -> Result<()> {
        let stamp = sent.stamp(self.number);
        let mut value = self.head.clone();
        write!(value, r#"{stamp},"received_time_us":{stamp}}}"#)?;
        let mut message = BaseRecord::to(topic).key(&self.key).payload(&value);
        message.partition = self.partition;
        producer
            .send(message)
            .map_err(|(error, _)| error)
            .context("the producer's queue is full")
    }
}

fn drafts() -> Result<Vec<Draft>> {
    let ticks = usize::try_from((WARM_UP + COUNTED).as_millis())?;
    let trades = trades(Shape::USUAL, 1)?.take(ticks * TRADES_PER_MS);
    trades.map(|trade| Draft::of(&trade)).collect()
}

/// Sends so many trades each millisecond; one that begins late is made up for at once.
fn feed(lab: &Lab, topic: &str, drafts: &[Draft], sent: &Sent) -> Result<()> {
    let mut config = lab.kafka.client_config();
    config.set("enable.idempotence", "true").set("linger.ms", "1");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let mut due = Instant::now();
    for tick in drafts.chunks(TRADES_PER_MS) {
        for draft in tick {
            draft.send(&producer, topic, sent)?;
        }
        due += Duration::from_millis(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(producer.flush(SETTLE_LIMIT)?)
}

/// Looks at all symbols until everything sent is visible; gives the latency of each trade that counts, in microseconds.
fn look(lab: &Lab, sent: &Sent, is_all_sent: impl Fn() -> bool) -> Result<Vec<i64>> {
    let mut connection = lab.redis.connection()?;
    let counted_from = now_us() + i64::try_from(WARM_UP.as_micros())?;
    let counted_until = counted_from + i64::try_from(COUNTED.as_micros())?;
    let mut keys = BTreeMap::new();
    let mut latencies_us = Vec::new();
    let deadline = Instant::now() + WARM_UP + COUNTED + 2 * SETTLE_LIMIT;
    while !(is_all_sent() && sent.is_empty()) {
        ensure!(
            Instant::now() < deadline,
            "not every trade was sent and became visible in time"
        );
        if keys.len() < Shape::USUAL.symbols {
            keys = keys_by_number(lab)?;
        }
        for (number, shown_us) in shown(&mut connection, &keys)? {
            let seen_us = now_us();
            sent.take_until(number, shown_us, |sent_us| {
                if (counted_from..counted_until).contains(&sent_us) {
                    latencies_us.push(seen_us - sent_us);
                }
            });
        }
        std::thread::sleep(LOOK);
    }
    Ok(latencies_us)
}

/// Keys of the symbols that were published, by their number.
fn keys_by_number(lab: &Lab) -> Result<BTreeMap<usize, String>> {
    let known = crate::windows::symbol_keys(lab)?;
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for trade in trades(Shape::USUAL, 1)?.take(100 * Shape::USUAL.symbols) {
        numbers.insert(trade.symbol, trade.number);
    }
    let numbered = known.into_iter().map(|(symbol, key)| {
        let number = numbers.get(&symbol).with_context(|| format!("{symbol} was not sent"))?;
        Ok((*number, key))
    });
    numbered.collect()
}

/// The last event time of every symbol, in one round trip.
fn shown(connection: &mut ::redis::Connection, keys: &BTreeMap<usize, String>) -> Result<Vec<(usize, i64)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = ::redis::pipe();
    for key in keys.values() {
        pipeline.cmd("HGET").arg(key).arg("event_time_us");
    }
    let times: Vec<Option<i64>> = pipeline.query(connection)?;
    let shown = keys
        .keys()
        .zip(times)
        .filter_map(|(number, time)| Some((*number, time?)));
    Ok(shown.collect())
}
