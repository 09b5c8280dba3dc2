//! The rolling window of every symbol at the log's end, as a subject published it: two that do the same job must agree.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::lab::{Lab, SETTLE_LIMIT};

/// How far two averages may differ, relative to them: both subjects round exact sums, each in its own steps.
const TOLERANCE: f64 = 1e-12;

/// What is traded in the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// Volume-weighted average price.
    vwap: f64,
    trades: u64,
}

impl Window {
    fn parse(vwap: &str, trades: &str) -> Result<Self> {
        Ok(Self {
            vwap: vwap.parse().context("no average yet: take more records")?,
            trades: trades.parse()?,
        })
    }

    fn equals(self, other: Self) -> bool {
        (self.vwap - other.vwap).abs() <= TOLERANCE * self.vwap && self.trades == other.trades
    }
}

/// By symbol.
pub(crate) type Windows = BTreeMap<String, Window>;

/// The key of every published symbol.
pub(crate) fn symbol_keys(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let keys: Vec<String> = ::redis::cmd("KEYS")
        .arg("assay:*:*.*")
        .query(&mut lab.redis.connection()?)?;
    let named = keys.into_iter().filter_map(|key| {
        let symbol = key.rsplit(':').next()?.to_owned();
        Some((symbol, key))
    });
    Ok(named.collect())
}

/// What the processor published.
pub(crate) fn of_redis(lab: &Lab) -> Result<Windows> {
    let mut connection = lab.redis.connection()?;
    let read = |(symbol, key): (String, String)| {
        let mut command = ::redis::cmd("HMGET");
        let (vwap, trades): (String, String) =
            command.arg(key).arg("vwap").arg("trade_count").query(&mut connection)?;
        Ok((symbol, Window::parse(&vwap, &trades)?))
    };
    symbol_keys(lab)?.into_iter().map(read).collect()
}

/// The last value of every key of a topic: `VWAP TRADES`, and only what is committed.
pub(crate) fn of_topic(lab: &Lab, topic: &str, partitions: i32) -> Result<Windows> {
    let mut config = lab.kafka.client_config();
    config.set("group.id", topic).set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("isolation.level", "read_committed").create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut windows, mut ended) = (Windows::new(), 0);
    while ended < partitions {
        match consumer.poll(SETTLE_LIMIT) {
            Some(Ok(record)) => {
                let symbol = std::str::from_utf8(record.key().unwrap_or_default())?;
                let value = std::str::from_utf8(record.payload().unwrap_or_default())?;
                let (vwap, trades) = value
                    .split_once(' ')
                    .with_context(|| format!("{value:?} is no window"))?;
                windows.insert(symbol.to_owned(), Window::parse(vwap, trades)?);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => bail!("{topic} does not end"),
        }
    }
    Ok(windows)
}

/// Fails with the first symbol that differs.
pub(crate) fn ensure_same(name: &str, found: &Windows, wanted: &Windows) -> Result<()> {
    for (symbol, wanted) in wanted {
        let found = found.get(symbol).with_context(|| format!("{name} has no {symbol}"))?;
        ensure!(
            found.equals(*wanted),
            "{name}, {symbol}: {found:?} instead of {wanted:?}"
        );
    }
    ensure!(
        found.len() == wanted.len(),
        "{name} has {} symbols instead of {}",
        found.len(),
        wanted.len()
    );
    Ok(())
}
