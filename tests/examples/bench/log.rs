//! The logs that are read: recorded trades, looped and dealt to symbols, in canonical JSON as `assay feed` writes it.

use anyhow::{Result, ensure};
use assay_engine::fixed_point;
use assay_engine::{Record, Side, Trade};
use assay_processor::ingest::encode::CanonicalJson;
use assay_tests::Kafka;
use assay_tests::kafka::NewRecord;
use assay_tests::trades::{RecordedTrade, eleven_minutes};

/// How often each recorded trade comes, whatever the symbols: so logs of all shapes run through event time alike.
const COPIES: usize = 12;
const MARKETS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// To how many symbols the trades are dealt, and to how many partitions the symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Symbols; the larger half of them are Bitcoin.
    pub(crate) symbols: usize,
    /// Partitions; symbol n is in partition n modulo this.
    pub(crate) partitions: i32,
}

impl Shape {
    /// What most is measured on: with 24 symbols, each has every trade of its market once.
    pub(crate) const USUAL: Self = Self {
        symbols: 24,
        partitions: 6,
    };

    /// First symbol of a market, and how many it has.
    fn symbols_of(self, market: usize) -> (usize, usize) {
        let ether = self.symbols / 2;
        let bitcoin = self.symbols - ether;
        if market == 0 { (0, bitcoin) } else { (bitcoin, ether) }
    }
}

/// A topic that holds a log.
pub(crate) struct Log {
    pub(crate) topic: String,
    pub(crate) shape: Shape,
    /// Records.
    pub(crate) records: usize,
    /// Mean length of a value.
    pub(crate) value_bytes: usize,
    /// End of each partition.
    pub(crate) ends: Vec<i64>,
}

impl Log {
    /// Creates and fills a topic.
    pub(crate) fn fill(kafka: &Kafka, shape: Shape, count: usize, slowness: i64) -> Result<Self> {
        let topic = kafka.create_topic("bench", shape.partitions)?;
        let mut bytes = 0;
        let counted = trades(shape, slowness)?
            .take(count)
            .map(|trade| trade.record())
            .inspect(|record| bytes += record.value.len());
        kafka.produce(&topic, counted)?;
        let ends = kafka.log_ends(&topic, shape.partitions)?;
        ensure!(
            ends.iter().sum::<i64>() == i64::try_from(count)?,
            "the log holds {ends:?} instead of {count} records"
        );
        Ok(Self {
            topic,
            shape,
            records: count,
            value_bytes: bytes / count,
            ends,
        })
    }

    /// A topic that holds nothing yet.
    pub(crate) fn empty(topic: String, shape: Shape) -> Self {
        Self {
            topic,
            shape,
            records: 0,
            value_bytes: 0,
            ends: Vec::new(),
        }
    }

    /// Adds records after the last ones.
    pub(crate) fn extend(&mut self, kafka: &Kafka, more: impl Iterator<Item = MadeTrade>) -> Result<()> {
        kafka.produce(&self.topic, more.map(|trade| trade.record()))?;
        self.ends = kafka.log_ends(&self.topic, self.shape.partitions)?;
        self.records = usize::try_from(self.ends.iter().sum::<i64>())?;
        Ok(())
    }
}

/// A recorded trade under the name of one of the log's symbols.
#[derive(Debug, Clone)]
pub(crate) struct MadeTrade {
    /// Number of the symbol in its shape.
    pub(crate) number: usize,
    pub(crate) symbol: String,
    pub(crate) event_time_us: i64,
    partition: i32,
    trade_id: u64,
    price: i64,
    quantity: i64,
    side: Side,
}

impl MadeTrade {
    /// Its canonical JSON, keyed by the symbol.
    pub(crate) fn record(&self) -> NewRecord {
        let canonical = Record::Trade(Trade {
            venue: "binance",
            symbol: &self.symbol,
            trade_id: self.trade_id,
            price: self.price,
            quantity: self.quantity,
            side: self.side,
            event_time_us: self.event_time_us,
            received_time_us: self.event_time_us,
        });
        NewRecord {
            partition: Some(self.partition),
            value: CanonicalJson(&canonical).to_string().into_bytes(),
            key: self.symbol.clone().into_bytes(),
            // The broker's clock: retention would delete records as old as the recording.
            timestamp_ms: None,
        }
    }
}

/// Trades without end, in the order of event time; ids and times go on where the round before ended.
pub(crate) fn trades(shape: Shape, slowness: i64) -> Result<impl Iterator<Item = MadeTrade>> {
    let recording = Recording::read()?;
    let prints = recording.prints.len();
    Ok((0..)
        .flat_map(move |at| (0..COPIES).map(move |copy| (at, copy)))
        .map(move |(at, copy)| recording.deal(shape, slowness, (at / prints, at % prints), copy)))
}

/// The recorded trades, and how many of them each market has.
struct Recording {
    prints: Vec<Print>,
    of_market: [usize; 2],
    span_us: i64,
}

struct Print {
    market: usize,
    /// Place among the trades of its market.
    place: usize,
    price: i64,
    quantity: i64,
    side: Side,
    event_time_us: i64,
}

impl Recording {
    fn read() -> Result<Self> {
        let recorded = eleven_minutes()?;
        let time = |trade: Option<&RecordedTrade>| trade.map_or(0, |trade| trade.event_time_us);
        let span_us = time(recorded.last()) - time(recorded.first()) + 1_000_000;
        let mut of_market = [0, 0];
        let mut prints = Vec::with_capacity(recorded.len());
        for trade in &recorded {
            let market = usize::from(trade.symbol != MARKETS[0]);
            prints.push(Print {
                market,
                place: of_market[market],
                price: fixed_point::parse(&trade.price)?,
                quantity: fixed_point::parse(&trade.quantity)?,
                side: if trade.side == "sell" { Side::Sell } else { Side::Buy },
                event_time_us: trade.event_time_us,
            });
            of_market[market] += 1;
        }
        Ok(Self {
            prints,
            of_market,
            span_us,
        })
    }

    /// The copies of a market's trades go round its symbols, so ids of a symbol have no gaps.
    fn deal(&self, shape: Shape, slowness: i64, (round, at): (usize, usize), copy: usize) -> MadeTrade {
        let (print, start_us) = (&self.prints[at], self.prints[0].event_time_us);
        let (first, symbols) = shape.symbols_of(print.market);
        let dealt = (round * self.of_market[print.market] + print.place) * COPIES + copy;
        let number = first + dealt % symbols;
        // Rounds and partitions are few.
        let round = i64::try_from(round).unwrap_or(i64::MAX);
        let partitions = usize::try_from(shape.partitions).unwrap_or(1);
        MadeTrade {
            number,
            symbol: format!("{}.{}", MARKETS[print.market], dealt % symbols),
            event_time_us: start_us + (print.event_time_us - start_us + round * self.span_us) * slowness,
            partition: i32::try_from(number % partitions).unwrap_or_default(),
            trade_id: (dealt / symbols) as u64,
            price: print.price,
            quantity: print.quantity,
            side: print.side,
        }
    }
}
