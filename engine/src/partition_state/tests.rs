use std::collections::BTreeMap;

use super::snapshot::Document;
use super::*;
use crate::fixed_point::SCALE;
use crate::symbol_table::SymbolDocument;
use crate::watermark::MICROS_PER_SECOND as SECOND_US;
use crate::{Side, codec};

const START_US: i64 = 1_723_075_200 * SECOND_US;

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        revision: "revision-1".into(),
        lateness_us: 2 * SECOND_US,
        dedupe_window_us: 60 * SECOND_US,
        vwap_window_s: 60,
        profile_window_s: 60,
        range_bar_s: 10,
        range_bars: 3,
        strategies: BTreeMap::new(),
        horizon_us: 30 * SECOND_US,
        volatility_multiple: 0.5,
        stale_after_us: 10 * SECOND_US,
        prior_strength: 30.0,
        decay_outcomes: 4_000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    })
}

fn trade(symbol: &'static str, trade_id: u64, second: i64) -> Trade<'static> {
    let event_time_us = START_US + second * SECOND_US;
    Trade {
        venue: "binance",
        symbol,
        trade_id,
        price: 60_000 * SCALE,
        quantity: SCALE,
        side: Side::Buy,
        event_time_us,
        received_time_us: event_time_us,
    }
}

struct Bench {
    state: PartitionState,
    effects: Effects,
    offset: i64,
}

impl Bench {
    fn new() -> Self {
        Self {
            state: PartitionState::new(settings()),
            effects: Effects::default(),
            offset: 0,
        }
    }

    fn step(&mut self, record: Record<'_>) -> Disposition {
        let at = Position {
            offset: self.offset,
            record_time_us: None,
        };
        self.offset += 1;
        self.state.step(&record, at, &mut self.effects)
    }

    fn trade(&mut self, trade: Trade<'_>) -> Disposition {
        self.step(Record::Trade(trade))
    }

    fn restart(&mut self) {
        let bytes = self.state.snapshot().expect("encodes");
        self.state = PartitionState::restore(settings(), &bytes).expect("restores");
    }

    fn watermark_s(&self) -> Option<i64> {
        self.state
            .watermark_us()
            .map(|watermark_us| (watermark_us - START_US) / SECOND_US)
    }

    fn closed_field(&self, symbol: &str, name: &str) -> String {
        let views = self.state.views();
        let view = views.iter().find(|view| view.symbol == symbol).expect("a view");
        view.closed
            .iter()
            .find(|(field, _)| *field == name)
            .expect("a field")
            .1
            .clone()
    }
}

#[test]
fn a_trade_is_late_from_the_instant_its_slot_closed() {
    let mut bench = Bench::new();
    assert_eq!(bench.trade(trade("A", 1, 10)), Disposition::Accepted);
    assert_eq!(bench.trade(trade("A", 2, 8)), Disposition::Accepted);
    assert_eq!(bench.trade(trade("A", 3, 7)), Disposition::Late);
    assert_eq!(bench.trade(trade("B", 1, 7)), Disposition::Late);
    assert_eq!(bench.state.views().len(), 1, "a late trade makes no symbol");
}

#[test]
fn a_state_that_is_not_the_one_its_digest_says_is_refused_before_its_times_are_used() {
    let mut bench = Bench::new();
    bench.trade(trade("A", 1, 10));
    let bytes = bench.state.snapshot().expect("encodes");
    let mut document: Document = codec::decode(&bytes).expect("decodes");
    let SymbolDocument::Live(live) = &mut document.symbols[0].1 else {
        panic!("the symbol works");
    };
    live.head.open[0].second = i64::MAX;
    let altered = codec::encode(&document).expect("encodes");
    let refusal = PartitionState::restore(settings(), &altered).expect_err("altered");
    assert!(refusal.to_string().contains("another digest"), "{refusal}");
}

#[test]
fn rejected_late_and_duplicate_records_do_not_move_the_watermark() {
    let mut bench = Bench::new();
    bench.trade(trade("A", 1, 10));
    let later = trade("A", 1, 50);
    assert_eq!(bench.trade(later), Disposition::Duplicate);
    assert_eq!(bench.trade(trade("A", 2, 0)), Disposition::Late);
    assert_eq!(
        bench.trade(Trade { price: 0, ..later }),
        Disposition::Rejected(Rejection::NotPositive)
    );
    assert_eq!(
        bench.trade(Trade { symbol: "a", ..later }),
        Disposition::Rejected(Rejection::InvalidSymbol)
    );
    let ahead = Trade {
        trade_id: 9,
        received_time_us: later.event_time_us - 5 * SECOND_US - 1,
        ..later
    };
    assert_eq!(bench.trade(ahead), Disposition::Rejected(Rejection::FutureEventTime));
    bench.state.reject(Rejection::Undecodable);
    assert_eq!(bench.watermark_s(), Some(8));
    let counters = bench.state.counters();
    assert_eq!((counters.accepted, counters.duplicate, counters.late), (1, 1, 1));
    assert_eq!(counters.rejected.values().sum::<u64>(), 4);
}

#[test]
fn a_copy_of_a_trade_whose_slot_closed_is_a_duplicate_until_its_id_is_forgotten() {
    let mut bench = Bench::new();
    bench.trade(trade("A", 1, 0));
    bench.trade(trade("A", 2, 62));
    assert_eq!(bench.trade(trade("A", 1, 0)), Disposition::Duplicate);
    assert_eq!(
        bench.trade(trade("A", 1, 62)),
        Disposition::Duplicate,
        "another time does not make it another trade"
    );
    assert_eq!(
        bench.trade(Trade {
            venue: "kraken",
            ..trade("A", 1, 62)
        }),
        Disposition::Accepted
    );
    bench.trade(trade("A", 3, 63));
    assert_eq!(
        bench.trade(trade("A", 1, 63)),
        Disposition::Accepted,
        "60 s after the end of its second"
    );
}

#[test]
fn ids_are_remembered_over_a_restart() {
    let mut bench = Bench::new();
    bench.trade(trade("A", 1, 0));
    bench.trade(trade("A", 2, 30));
    bench.trade(trade("A", 3, 30));
    bench.restart();
    for id in 1..=3 {
        assert_eq!(bench.trade(trade("A", id, 30)), Disposition::Duplicate);
    }
}

#[test]
fn a_tick_closes_the_slots_of_a_silent_partition() {
    let mut bench = Bench::new();
    bench.trade(trade("A", 1, 0));
    assert_eq!(bench.closed_field("A", "trade_count"), "");
    assert_eq!(
        bench.step(Record::Tick {
            event_time_us: START_US + 3 * SECOND_US
        }),
        Disposition::Accepted
    );
    assert_eq!(bench.closed_field("A", "trade_count"), "1");
    assert_eq!(bench.state.counters().ticks, 1);
    let beyond = Record::Tick {
        event_time_us: i64::MAX,
    };
    assert_eq!(bench.step(beyond), Disposition::Rejected(Rejection::InvalidField));
}

#[test]
fn the_first_slot_decides_the_units_whatever_came_first() {
    let low = Trade {
        price: 9_999 * SCALE,
        ..trade("A", 2, 0)
    };
    for order in [[trade("A", 1, 0), low], [low, trade("A", 1, 0)]] {
        let mut bench = Bench::new();
        bench.trade(trade("A", 7, 1));
        for trade in order {
            bench.trade(trade);
        }
        bench.trade(trade("A", 8, 10));
        assert_eq!(bench.closed_field("A", "tick_size"), "0.0001");
        assert_eq!(bench.closed_field("A", "high"), "60000");
    }
}

#[test]
fn a_bogus_first_price_costs_the_others_nothing() {
    let mut bench = Bench::new();
    bench.trade(Trade {
        price: 1,
        ..trade("A", 0, 0)
    });
    for second in 1..=70_i64 {
        assert_eq!(
            bench.trade(trade("A", second.unsigned_abs(), second)),
            Disposition::Accepted
        );
    }
    assert_eq!(bench.closed_field("A", "vwap"), "60000");
    assert_eq!(bench.state.digest(), bench.state.digest_from_scratch());
}

#[test]
fn a_gap_must_have_a_length_and_a_valid_symbol() {
    let mut bench = Bench::new();
    let gap = |symbol, from_us, to_us| Record::Gap { symbol, from_us, to_us };
    assert_eq!(
        bench.step(gap("A", START_US, START_US)),
        Disposition::Rejected(Rejection::InvalidField)
    );
    assert_eq!(
        bench.step(gap("A", -1, START_US)),
        Disposition::Rejected(Rejection::InvalidField)
    );
    assert_eq!(
        bench.step(gap("b", START_US, START_US + 1)),
        Disposition::Rejected(Rejection::InvalidSymbol)
    );
    assert_eq!(bench.step(gap("A", START_US, START_US + 1)), Disposition::Accepted);
    assert_eq!((bench.watermark_s(), bench.state.counters().gaps), (None, 1));
}

#[test]
fn a_venue_too_many_is_refused_by_itself() {
    let mut bench = Bench::new();
    for number in 0..65 {
        let venue = format!("venue-{number}");
        let wanted = if number < 64 {
            Disposition::Accepted
        } else {
            Disposition::Rejected(Rejection::InvalidField)
        };
        assert_eq!(
            bench.trade(Trade {
                venue: &venue,
                ..trade("A", 1, 0)
            }),
            wanted
        );
    }
}

/// Trades of A and B, with a panic planned for the close of A's second 5.
fn faulted() -> Bench {
    let mut bench = Bench::new();
    bench.state.panic_at_close("A", START_US + 6 * SECOND_US);
    for second in 0..20_i64 {
        bench.trade(trade("A", second.unsigned_abs(), second));
        bench.trade(trade("B", second.unsigned_abs(), second));
    }
    bench
}

#[test]
fn a_panic_at_a_close_leaves_one_symbol_out_and_the_others_in() {
    let mut bench = faulted();
    assert_eq!(bench.effects.faults.len(), 1);
    let fault = &bench.effects.faults[0];
    assert_eq!(
        (fault.symbol.as_str(), fault.offset, fault.message.as_str()),
        ("A", 16, "planned by a test")
    );
    assert_eq!(bench.trade(trade("A", 999, 30)), Disposition::Faulted);
    assert_eq!(bench.watermark_s(), Some(17), "what is left out moves no time");
    assert_eq!(bench.closed_field("A", "status"), "faulted");
    assert_eq!(bench.closed_field("B", "trade_count"), "17");
    assert_eq!(bench.state.counters().faulted, 12);
    assert_eq!(bench.state.digest(), bench.state.digest_from_scratch());
}

#[test]
fn a_panic_at_the_first_close_of_a_symbol_leaves_the_count_of_the_others_right() {
    for others in [&[][..], &["B", "C"]] {
        let mut bench = Bench::new();
        bench.state.panic_at_close("A", START_US + SECOND_US);
        for second in 0..5_i64 {
            for symbol in others.iter().chain(&["A"]) {
                bench.trade(trade(symbol, second.unsigned_abs(), second));
            }
        }
        assert_eq!(bench.effects.faults.len(), 1);
        assert_eq!(bench.state.watched_symbols, others.len() as u64);
        bench.restart();
        assert_eq!(
            bench.state.watched_symbols,
            others.len() as u64,
            "a restored state counts the same"
        );
    }
}

#[test]
fn a_fault_is_the_same_in_every_replay_and_survives_a_restart() {
    let (mut one, mut other) = (faulted(), faulted());
    assert_eq!(one.effects, other.effects);
    one.restart();
    assert_eq!(one.state.digest(), other.state.digest());
    assert_eq!(one.state.views(), other.state.views());
    assert_eq!(one.trade(trade("A", 999, 30)), Disposition::Faulted);
}

#[test]
fn many_symbols_are_looked_at_only_when_they_have_something_due() {
    let names: Vec<String> = (0..2_000).map(|number| format!("S{number:04}")).collect();
    let mut bench = Bench::new();
    for name in &names {
        bench.trade(Trade {
            symbol: name,
            ..trade("A", 1, 0)
        });
    }
    bench.step(Record::Tick {
        event_time_us: START_US + 10 * SECOND_US,
    });
    bench.state.take_changed();
    bench.state.digest();
    bench.trade(trade("S0007", 2, 20));
    bench.trade(trade("S0007", 3, 25));
    assert_eq!(bench.state.touched.len(), 1, "only the symbol that traded was touched");
    assert_eq!(bench.state.take_changed().len(), 1);
}
