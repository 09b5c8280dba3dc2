//! A thread that keeps producing recorded trades, in rounds whose times and ids go on where the last one ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use assay_tests::trades::{RecordedTrade, slow_hour};
use assay_tests::{Kafka, wait};

/// Symbols per recorded symbol: twelve in all, so that every partition has some.
const WAYS: u64 = 6;
const CHUNK: usize = 150;
/// Pace between chunks: busy enough that every fault hits records in flight.
const PACE: Duration = Duration::from_millis(50);

/// The running thread.
pub(crate) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Feeder {
    pub(crate) fn start(kafka: Arc<Kafka>, topic: String) -> Result<Self> {
        let trades = endless(slow_hour(WAYS)?);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || feed(&kafka, &topic, trades, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends after the chunk under way is acknowledged.
    pub(crate) fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the feeder panicked"))?
    }
}

fn feed(kafka: &Kafka, topic: &str, mut trades: impl Iterator<Item = RecordedTrade>, stop: &AtomicBool) -> Result<()> {
    let producer = kafka.producer()?;
    while !stop.load(Ordering::Acquire) {
        let chunk: Vec<_> = trades.by_ref().take(CHUNK).map(|trade| trade.record()).collect();
        // A broker that is down makes this wait, as a feed would.
        producer.produce(topic, chunk)?;
        // The pace, unless the end comes first.
        let _ = wait::until(PACE, "the end of the feed", || {
            Ok(stop.load(Ordering::Acquire).then_some(()))
        });
    }
    Ok(())
}

fn endless(trades: Vec<RecordedTrade>) -> impl Iterator<Item = RecordedTrade> {
    let time = |trade: Option<&RecordedTrade>| trade.map_or(0, |trade| trade.event_time_us);
    let span_us = time(trades.last()) - time(trades.first()) + 1_000_000;
    (0..).flat_map(move |round: i64| {
        let mut shifted = trades.clone();
        for trade in &mut shifted {
            trade.event_time_us += round * span_us;
            trade.trade_id += round.unsigned_abs() << 40;
        }
        shifted
    })
}
