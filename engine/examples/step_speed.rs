//! Time of `step` per record, of a digest, of views and of a snapshot, on made-up logs of several shapes.
//!
//! Times are those on the CPU (from Linux' `/proc`), so that a busy machine does not blur them.
//!
//! `cargo run --release -p assay-engine --example step_speed [RECORDS]`

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "CPU time of a process does not go back"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use assay_engine::fixed_point::SCALE;
use assay_engine::settings::{RangeBreakoutSettings, StrategySettings, VwapReversionSettings};
use assay_engine::{Effects, PartitionState, Position, Record, Settings, Side, Trade};

const SECOND_US: i64 = 1_000_000;
const START_US: i64 = 1_723_075_200 * SECOND_US;
const RECORDS: usize = 3_000_000;

/// A log: so many symbols, so many records per second of event time in all, ids of one symbol so far apart.
struct Shape {
    name: &'static str,
    symbols: usize,
    records_per_second: i64,
    id_step: u64,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "24 symbols, 20,000/s",
        symbols: 24,
        records_per_second: 20_000,
        id_step: 1,
    },
    Shape {
        name: "24 symbols, 1,000/s",
        symbols: 24,
        records_per_second: 1_000,
        id_step: 1,
    },
    Shape {
        name: "24 symbols, 1,000/s, sparse ids",
        symbols: 24,
        records_per_second: 1_000,
        id_step: 1_000,
    },
    Shape {
        name: "2,000 symbols, 2,000/s",
        symbols: 2_000,
        records_per_second: 2_000,
        id_step: 1,
    },
];

fn settings() -> Settings {
    let reversion = VwapReversionSettings {
        entry_z: 2.0,
        exit_z: 0.5,
        max_z: 4.0,
        min_trades: 100,
        min_deviation_ticks: 2.0,
    };
    Settings {
        revision: "speed".into(),
        lateness_us: 2 * SECOND_US,
        dedupe_window_us: 600 * SECOND_US,
        vwap_window_s: 1_800,
        profile_window_s: 1_800,
        range_bar_s: 60,
        range_bars: 20,
        strategies: BTreeMap::from([
            (
                "range-breakout".into(),
                StrategySettings::RangeBreakout(RangeBreakoutSettings {
                    volume_ratio: 1.5,
                    volume_bars: 20,
                }),
            ),
            ("vwap-reversion".into(), StrategySettings::VwapReversion(reversion)),
        ]),
        horizon_us: 300 * SECOND_US,
        volatility_multiple: 0.5,
        stale_after_us: 10 * SECOND_US,
        prior_strength: 30.0,
        decay_outcomes: 4_000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Time this thread has spent on a CPU: the first field of its scheduler statistics, in nanoseconds.
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        statistics
            .split(' ')
            .next()
            .and_then(|field| field.parse().ok())
            .unwrap_or(0),
    )
}

struct Made {
    symbol: usize,
    trade_id: u64,
    price: i64,
    quantity: i64,
    time_us: i64,
}

fn make(shape: &Shape, records: usize) -> Vec<Made> {
    let mut random = 7;
    let mut prices = vec![60_000 * SCALE; shape.symbols];
    let mut ids = vec![1_000_000_u64; shape.symbols];
    (0_i64..)
        .take(records)
        .map(|at| {
            let bits = mix(&mut random);
            let symbol = (bits >> 32) as usize % shape.symbols;
            prices[symbol] += ((bits & 0xff).cast_signed() - 127) * SCALE / 100;
            ids[symbol] += shape.id_step;
            Made {
                symbol,
                trade_id: ids[symbol],
                price: prices[symbol].max(SCALE),
                quantity: 1 + (bits >> 40).cast_signed(),
                time_us: START_US + at * SECOND_US / shape.records_per_second,
            }
        })
        .collect()
}

struct Measured {
    state: PartitionState,
    steps: Duration,
    digest: Duration,
    views: Duration,
    flushes: u32,
}

/// Steps through the log; every 10,000 records a digest and views are taken, as a commit does.
fn run(names: &[String], log: &[Made]) -> Measured {
    let state = PartitionState::new(Arc::new(settings()));
    let mut measured = Measured {
        state,
        steps: Duration::ZERO,
        digest: Duration::ZERO,
        views: Duration::ZERO,
        flushes: 0,
    };
    let mut effects = Effects::default();
    let mut offset = 0;
    for batch in log.chunks(10_000) {
        let begun = cpu_time();
        for made in batch {
            let record = Record::Trade(Trade {
                venue: "binance",
                symbol: &names[made.symbol],
                trade_id: made.trade_id,
                price: made.price,
                quantity: made.quantity,
                side: if made.trade_id % 2 == 0 { Side::Buy } else { Side::Sell },
                event_time_us: made.time_us,
                received_time_us: made.time_us,
            });
            black_box(measured.state.step(
                &record,
                Position {
                    offset,
                    record_time_us: None,
                },
                &mut effects,
            ));
            offset += 1;
        }
        let stepped = cpu_time();
        black_box(measured.state.digest());
        let digested = cpu_time();
        black_box(measured.state.take_changed());
        measured.views += cpu_time() - digested;
        measured.digest += digested - stepped;
        measured.steps += stepped - begun;
        measured.flushes += 1;
        effects = Effects::default();
    }
    measured
}

fn report(shape: &Shape, records: usize, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = (0..shape.symbols).map(|at| format!("SYM{at}USDT")).collect();
    let log = make(shape, records);
    let measured = run(&names, &log);
    let begun = cpu_time();
    let bytes = measured.state.snapshot()?;
    let taken = cpu_time();
    PartitionState::restore(Arc::new(settings()), &bytes)?;
    let restored = cpu_time();
    writeln!(
        out,
        "{:<33} step {:>4} ns/record, digest {:>6} µs, views {:>6} µs, snapshot {:>4} ms and {:>5} KiB, restore {:>4} ms",
        shape.name,
        measured.steps.as_nanos() / log.len() as u128,
        measured.digest.as_micros() / u128::from(measured.flushes),
        measured.views.as_micros() / u128::from(measured.flushes),
        (taken - begun).as_millis(),
        bytes.len() / 1024,
        (restored - taken).as_millis(),
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records = std::env::args().nth(1).map_or(Ok(RECORDS), |text| text.parse())?;
    let mut out = std::io::stdout();
    for shape in &SHAPES {
        report(shape, records, &mut out)?;
    }
    Ok(())
}
