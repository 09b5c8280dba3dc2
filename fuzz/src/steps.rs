//! Records of a partition out of any bytes: mostly a market that moves on, now and then something that it never does.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use assay_engine::fixed_point::SCALE;
use assay_engine::settings::{RangeBreakoutSettings, StrategySettings, VwapReversionSettings};
use assay_engine::{Position, Record, Settings, Side, Trade};

const SECOND_US: i64 = 1_000_000;
const START_US: i64 = 1_723_075_200 * SECOND_US;
const SYMBOLS: [&str; 4] = ["BTCUSDT", "ETH-USD", "XBT/USD", "btcusdt"];
const VENUES: [&str; 2] = ["binance", "kraken"];

/// Windows short enough that a few dozen records fill them and forecasts come due.
pub(crate) fn settings() -> Settings {
    let reversion = StrategySettings::VwapReversion(VwapReversionSettings {
        entry_z: 1.0,
        exit_z: 0.5,
        max_z: 3.0,
        min_trades: 3,
        min_deviation_ticks: 0.0,
    });
    let breakout = StrategySettings::RangeBreakout(RangeBreakoutSettings {
        volume_ratio: 0.5,
        volume_bars: 2,
    });
    Settings {
        revision: "revision-1".into(),
        lateness_us: 2 * SECOND_US,
        dedupe_window_us: 10 * SECOND_US,
        vwap_window_s: 8,
        profile_window_s: 8,
        range_bar_s: 2,
        range_bars: 2,
        strategies: BTreeMap::from([("breakout".into(), breakout), ("reversion".into(), reversion)]),
        horizon_us: 3 * SECOND_US,
        volatility_multiple: 0.5,
        stale_after_us: 10 * SECOND_US,
        prior_strength: 30.0,
        decay_outcomes: 100.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    }
}

/// One thing that happens to a partition.
pub(crate) enum Step {
    /// A record comes.
    Record(OwnedRecord),
    /// The processor starts anew from a snapshot.
    Restart,
}

/// A record with the time at which Kafka took it.
pub(crate) struct OwnedRecord {
    record: Record<'static>,
    record_time_us: Option<i64>,
}

impl OwnedRecord {
    pub(crate) fn as_record(&self) -> Record<'static> {
        self.record
    }

    pub(crate) fn at(&self, offset: usize) -> Position {
        Position {
            offset: i64::try_from(offset).expect("few records"),
            record_time_us: self.record_time_us,
        }
    }
}

/// Reads steps until the bytes end.
pub(crate) struct Steps<'u, 'a> {
    input: &'u mut Unstructured<'a>,
    now_us: i64,
    price: i64,
    next_id: u64,
}

impl<'u, 'a> Steps<'u, 'a> {
    pub(crate) fn new(input: &'u mut Unstructured<'a>) -> Self {
        Self {
            input,
            now_us: START_US,
            price: 60_000 * SCALE,
            next_id: 1,
        }
    }

    fn read(&mut self) -> Result<Step> {
        let kind: u8 = self.input.arbitrary()?;
        self.now_us = self.now_us.saturating_add(self.advance(kind >> 6)?);
        Ok(match kind & 15 {
            0 => Step::Restart,
            1 => came(
                Record::Tick {
                    event_time_us: self.now_us,
                },
                None,
            ),
            2 => self.gap()?,
            3 => self.anything()?,
            4 => self.trade(None, false)?,
            5 => self.trade(Some(self.now_us), true)?,
            _ => self.trade(None, true)?,
        })
    }

    /// From nothing to half a minute, forwards but for one in four of the small moves.
    fn advance(&mut self, pace: u8) -> Result<i64> {
        let amount: u8 = self.input.arbitrary()?;
        let amount = i64::from(amount);
        Ok(match pace {
            0 => amount * 1_000,
            1 => amount * 20_000,
            2 => (amount - 64) * 50_000,
            _ => amount * SECOND_US / 8,
        })
    }

    /// A trade near the last price; an id that is new, or one of those before.
    fn trade(&mut self, record_time_us: Option<i64>, is_new: bool) -> Result<Step> {
        let (names, moved, quantity): (u8, i8, u16) = self.input.arbitrary()?;
        self.price = self.price.saturating_add(i64::from(moved) * SCALE).max(1);
        let trade_id = if is_new {
            self.next_id
        } else {
            self.next_id.saturating_sub(u64::from(names >> 4))
        };
        self.next_id += 1;
        let trade = Trade {
            venue: VENUES[usize::from(names >> 3) % VENUES.len()],
            // The last one is no symbol, and rare.
            symbol: SYMBOLS[if names == 255 { 3 } else { usize::from(names) % 3 }],
            trade_id,
            price: self.price,
            quantity: i64::from(quantity) * 100_000,
            side: if moved < 0 { Side::Sell } else { Side::Buy },
            event_time_us: self.now_us,
            received_time_us: self.now_us,
        };
        Ok(came(Record::Trade(trade), record_time_us))
    }

    /// A trade of any numbers: the smallest, the largest and beyond.
    fn anything(&mut self) -> Result<Step> {
        let (price, quantity, trade_id, times): (i64, i64, u64, [i64; 2]) = self.input.arbitrary()?;
        let is_now: bool = self.input.arbitrary()?;
        let trade = Trade {
            venue: VENUES[0],
            symbol: SYMBOLS[usize::from(trade_id.to_le_bytes()[0]) % SYMBOLS.len()],
            trade_id,
            price,
            quantity,
            side: Side::Buy,
            event_time_us: if is_now { self.now_us } else { times[0] },
            received_time_us: if is_now { self.now_us } else { times[1] },
        };
        Ok(came(Record::Trade(trade), None))
    }

    fn gap(&mut self) -> Result<Step> {
        let (symbol, back, length): (u8, u16, i16) = self.input.arbitrary()?;
        let from_us = self.now_us.saturating_sub(i64::from(back) * 1_000);
        let gap = Record::Gap {
            symbol: SYMBOLS[usize::from(symbol) % SYMBOLS.len()],
            from_us,
            to_us: from_us.saturating_add(i64::from(length) * 1_000),
        };
        Ok(came(gap, None))
    }
}

fn came(record: Record<'static>, record_time_us: Option<i64>) -> Step {
    Step::Record(OwnedRecord { record, record_time_us })
}

impl Iterator for Steps<'_, '_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.input.is_empty() { None } else { self.read().ok() }
    }
}
