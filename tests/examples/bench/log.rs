//! The log that is read: recorded trades, looped and copied to more symbols, in canonical JSON as `assay feed` writes it.

use anyhow::Result;
use assay_engine::fixed_point;
use assay_engine::{Record, Side, Trade};
use assay_processor::ingest::encode::CanonicalJson;
use assay_tests::kafka::NewRecord;
use assay_tests::trades::{RecordedTrade, eleven_minutes};

/// Copies of each recorded symbol, every one with all of its trades: 24 symbols in all.
const COPIES: i32 = 12;
/// Partitions of the topic: four symbols each.
pub(crate) const PARTITIONS: i32 = 6;

/// Records without end, in the order of event time; ids and times go on where the round before ended.
pub(crate) fn records(slowness: i64) -> Result<impl Iterator<Item = NewRecord>> {
    let trades = eleven_minutes()?;
    let start_us = trades.first().map_or(0, |trade| trade.event_time_us);
    let span_us = trades.last().map_or(0, |trade| trade.event_time_us) - start_us + 1_000_000;
    let trades: Vec<(RecordedTrade, i64, i64)> = trades.into_iter().map(scaled).collect::<Result<_>>()?;
    Ok((0_i64..).flat_map(move |round| {
        let at_us =
            move |trade: &RecordedTrade| start_us + (trade.event_time_us - start_us + round * span_us) * slowness;
        let copied: Vec<NewRecord> = trades
            .iter()
            .flat_map(|trade| (0..COPIES).map(move |copy| (trade, copy)))
            .map(|((trade, price, quantity), copy)| record(trade, (*price, *quantity), round, at_us(trade), copy))
            .collect();
        copied
    }))
}

fn scaled(trade: RecordedTrade) -> Result<(RecordedTrade, i64, i64)> {
    let (price, quantity) = (fixed_point::parse(&trade.price)?, fixed_point::parse(&trade.quantity)?);
    Ok((trade, price, quantity))
}

fn record(trade: &RecordedTrade, (price, quantity): (i64, i64), round: i64, at_us: i64, copy: i32) -> NewRecord {
    let symbol = format!("{}.{copy}", trade.symbol);
    let canonical = Record::Trade(Trade {
        venue: "binance",
        symbol: &symbol,
        trade_id: trade.trade_id + (round.unsigned_abs() << 40),
        price,
        quantity,
        side: if trade.side == "sell" { Side::Sell } else { Side::Buy },
        event_time_us: at_us,
        received_time_us: at_us,
    });
    NewRecord {
        partition: Some(copy % PARTITIONS),
        value: CanonicalJson(&canonical).to_string().into_bytes(),
        key: symbol.into_bytes(),
        // The broker's clock: retention would delete records as old as the recording.
        timestamp_ms: None,
    }
}
