//! Behaviour of the whole `ProbabilityEngine`: freezing, overlap, resolving, learning, and what mirrors.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::Settings;
use crate::effects::{Effects, OutcomeKind};
use crate::evaluation::ClosingPrice;
use crate::settings::{RangeBreakoutSettings, StrategySettings};

const SECOND: i64 = 1_000_000;
const HORIZON: i64 = 300 * SECOND;

/// Constants of a revision with the strategies `breakout` and `reversion`.
pub(super) fn parameters() -> Parameters {
    let strategy = StrategySettings::RangeBreakout(RangeBreakoutSettings {
        volume_ratio: 1.5,
        volume_bars: 20,
    });
    let strategies = ["breakout", "reversion"].map(|name| (name.to_owned(), strategy.clone()));
    Parameters::new(&Settings {
        revision: "r1".to_owned(),
        lateness_us: 2 * SECOND,
        dedupe_window_us: 600 * SECOND,
        vwap_window_s: 1_800,
        profile_window_s: 1_800,
        range_bar_s: 60,
        range_bars: 20,
        strategies: BTreeMap::from(strategies),
        horizon_us: HORIZON,
        volatility_multiple: 0.5,
        stale_after_us: 10 * SECOND,
        prior_strength: 30.0,
        decay_outcomes: 4_000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    })
}

const BREAKOUT: usize = 0;
const REVERSION: usize = 1;

fn call(strategy: usize, direction: Direction) -> Call {
    Call {
        strategy,
        direction,
        strength: 0.6,
        confidence: 1.0,
    }
}

fn moment(at_us: i64) -> Moment<'static> {
    Moment {
        symbol: "BTCUSDT",
        at_us,
        price: 100.0,
        volatility: Some(0.001),
        inputs_ready: true,
        watched_symbols: 1,
        indicators: r#"{"z":2.5}"#,
        offset: 7,
    }
}

struct Bench {
    parameters: Parameters,
    engine: ProbabilityEngine,
    effects: Effects,
}

impl Bench {
    fn new() -> Self {
        let parameters = parameters();
        let engine = ProbabilityEngine::new(&parameters);
        Self {
            parameters,
            engine,
            effects: Effects::default(),
        }
    }

    fn freeze(&mut self, at_us: i64, calls: &[Call]) {
        self.engine
            .freeze(&self.parameters, &moment(at_us), calls, &mut self.effects);
    }

    fn resolve(&mut self, at_us: i64, price: f64) {
        self.resolve_with(
            at_us,
            Some(ClosingPrice {
                price,
                slot_end_us: at_us,
            }),
            &|_, _| false,
        );
    }

    fn resolve_with(&mut self, at_us: i64, closing: Option<ClosingPrice>, has_gap: &dyn Fn(i64, i64) -> bool) {
        let around = Surroundings {
            symbol: "BTCUSDT",
            closing,
            has_gap,
            offset: 9,
        };
        self.engine
            .resolve_until(&self.parameters, at_us, &around, &mut self.effects);
    }

    fn outcomes(&self) -> Vec<(&str, OutcomeKind)> {
        self.effects
            .outcomes
            .iter()
            .map(|outcome| (outcome.forecast.strategy.as_str(), outcome.kind))
            .collect()
    }
}

#[test]
fn the_first_forecast_is_exactly_the_base_rate_and_low() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    let base = bench.engine.base_rates().up;
    let names: Vec<_> = bench
        .effects
        .forecasts
        .iter()
        .map(|forecast| forecast.strategy.as_str())
        .collect();
    assert_eq!(names, [POOLED, "reversion"]);
    for forecast in &bench.effects.forecasts {
        assert_eq!(
            (forecast.probability.to_bits(), forecast.base_rate.to_bits()),
            (base.to_bits(), base.to_bits())
        );
        assert_eq!(
            (forecast.confidence, forecast.direction, forecast.overlapping),
            ("LOW", 1, false)
        );
    }
}

#[test]
fn without_calls_or_volatility_nothing_is_published() {
    let mut bench = Bench::new();
    bench.freeze(0, &[]);
    for volatility in [None, Some(0.0)] {
        let still = Moment {
            volatility,
            ..moment(0)
        };
        bench.engine.freeze(
            &bench.parameters,
            &still,
            &[call(BREAKOUT, Direction::Up)],
            &mut bench.effects,
        );
    }
    assert_eq!(bench.effects, Effects::default());
}

#[test]
fn calls_that_cancel_out_are_not_pooled() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(BREAKOUT, Direction::Up), call(REVERSION, Direction::Down)]);
    let names: Vec<_> = bench
        .effects
        .forecasts
        .iter()
        .map(|forecast| forecast.strategy.as_str())
        .collect();
    assert_eq!(names, ["breakout", "reversion"]);
}

#[test]
fn the_side_of_the_greater_voice_is_pooled() {
    let mut bench = Bench::new();
    let faint = Call {
        confidence: 0.5,
        ..call(BREAKOUT, Direction::Up)
    };
    bench.freeze(0, &[faint, call(REVERSION, Direction::Down)]);
    let pooled = bench
        .effects
        .forecasts
        .iter()
        .find(|forecast| forecast.strategy == POOLED);
    assert_eq!(pooled.map(|pooled| pooled.direction), Some(-1));
}

#[test]
fn a_forecast_inside_the_horizon_of_an_open_one_is_stored_and_not_judged() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    bench.freeze(
        HORIZON - SECOND,
        &[call(REVERSION, Direction::Down), call(BREAKOUT, Direction::Down)],
    );
    let overlapping: Vec<_> = bench
        .effects
        .forecasts
        .iter()
        .map(|forecast| (forecast.strategy.as_str(), forecast.overlapping))
        .collect();
    assert_eq!(
        overlapping[2..],
        [("breakout", false), (POOLED, true), ("reversion", true)]
    );
    bench.resolve(10 * HORIZON, 101.0);
    assert_eq!(bench.outcomes().len(), 3);
}

#[test]
fn an_outcome_is_due_at_the_horizon_and_makes_room_for_the_next() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    assert_eq!(bench.engine.next_due_us(&bench.parameters), Some(HORIZON));
    bench.resolve(HORIZON - 1, 101.0);
    assert!(bench.outcomes().is_empty());
    bench.resolve(HORIZON, 101.0);
    assert_eq!(
        bench.outcomes(),
        [(POOLED, OutcomeKind::Hit), ("reversion", OutcomeKind::Hit)]
    );
    bench.freeze(HORIZON, &[call(REVERSION, Direction::Up)]);
    assert!(bench.effects.forecasts.iter().all(|forecast| !forecast.overlapping));
}

#[test]
fn outcomes_come_in_the_order_of_time_then_name() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    bench.freeze(SECOND, &[call(BREAKOUT, Direction::Up)]);
    bench.resolve(HORIZON + SECOND, 90.0);
    let names: Vec<_> = bench.outcomes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [POOLED, "reversion", "breakout"]);
}

#[test]
fn the_threshold_decides_and_grows_with_the_root_of_the_horizon() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    // θ = 0.5 · 0.001 · sqrt(5) = 0.001118; ln(100.1/100) = 0.0009995 stays inside, ln(100.2/100) = 0.001998 does not.
    bench.resolve(HORIZON, 100.1);
    bench.freeze(HORIZON, &[call(REVERSION, Direction::Up)]);
    bench.resolve(2 * HORIZON, 100.2);
    let kinds: Vec<_> = bench.outcomes().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [OutcomeKind::Miss, OutcomeKind::Miss, OutcomeKind::Hit, OutcomeKind::Hit]
    );
}

#[test]
fn a_void_teaches_nothing_and_says_why() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    let before = bench.engine.clone();
    let stale = ClosingPrice {
        price: 101.0,
        slot_end_us: HORIZON - 11 * SECOND,
    };
    bench.resolve_with(HORIZON, Some(stale), &|_, _| false);
    bench.freeze(HORIZON, &[call(REVERSION, Direction::Up)]);
    bench.resolve_with(
        2 * HORIZON,
        Some(ClosingPrice {
            price: 101.0,
            slot_end_us: 2 * HORIZON,
        }),
        &|from, to| (from, to) == (HORIZON, 2 * HORIZON),
    );
    let reasons: Vec<_> = bench
        .effects
        .outcomes
        .iter()
        .map(|outcome| outcome.void_reason)
        .collect();
    assert_eq!(reasons, ["stale_price", "stale_price", "gap", "gap"]);
    assert!(
        bench
            .effects
            .outcomes
            .iter()
            .all(|outcome| outcome.log_return.to_bits() == 0)
    );
    assert_eq!(
        (bench.engine.weights(), bench.engine.base_rates()),
        (before.weights(), before.base_rates())
    );
    let calibration = bench
        .engine
        .tracker(Some(REVERSION))
        .map(|tracker| tracker.calibration().clone());
    let counts = calibration.map(|sums| (sums.judged, sums.void_gap, sums.void_stale_price));
    assert_eq!(counts, Some((0, 1, 1)));
}

#[test]
fn a_hit_raises_the_next_probability_and_the_weight() {
    let mut bench = Bench::new();
    for round in 0..60 {
        bench.freeze(round * HORIZON, &[call(REVERSION, Direction::Up)]);
        bench.resolve((round + 1) * HORIZON, 101.0);
    }
    let of_reversion: Vec<_> = bench
        .effects
        .forecasts
        .iter()
        .filter(|forecast| forecast.strategy == "reversion")
        .collect();
    assert!(
        of_reversion
            .windows(2)
            .all(|pair| pair[1].probability > pair[0].probability)
    );
    assert_eq!(
        (of_reversion[50].confidence, of_reversion[51].confidence),
        ("LOW", "MEDIUM")
    );
    assert!(bench.engine.weights()[REVERSION] > bench.engine.weights()[BREAKOUT]);
}

#[test]
fn the_grid_samples_whole_minutes_with_a_fresh_price_only() {
    let mut bench = Bench::new();
    let fresh = |at_us| {
        Some(ClosingPrice {
            price: 100.0,
            slot_end_us: at_us,
        })
    };
    bench
        .engine
        .observe(&bench.parameters, 61 * SECOND, fresh(61 * SECOND), Some(0.001));
    bench
        .engine
        .observe(&bench.parameters, 120 * SECOND, fresh(109 * SECOND), Some(0.001));
    bench
        .engine
        .observe(&bench.parameters, 180 * SECOND, fresh(180 * SECOND), None);
    assert_eq!(bench.engine.next_due_us(&bench.parameters), None);
    bench
        .engine
        .observe(&bench.parameters, 240 * SECOND, fresh(230 * SECOND), Some(0.001));
    assert_eq!(
        bench.engine.next_due_us(&bench.parameters),
        Some(240 * SECOND + HORIZON)
    );
}

/// The same object with the keys of every level sorted.
fn with_sorted_keys(text: &str) -> String {
    let Ok(object) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text) else {
        return text.to_owned();
    };
    let members: Vec<_> = object
        .iter()
        .map(|(key, value)| format!(r#""{key}":{}"#, with_sorted_keys(value.get())))
        .collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn inputs_are_json_with_sorted_keys_and_carry_what_was_frozen() {
    let mut bench = Bench::new();
    bench.freeze(0, &[call(REVERSION, Direction::Up), call(BREAKOUT, Direction::Up)]);
    assert_eq!(bench.effects.forecasts.len(), 3);
    for forecast in &bench.effects.forecasts {
        assert_eq!(with_sorted_keys(&forecast.inputs), forecast.inputs);
        let inputs: serde_json::Value = serde_json::from_str(&forecast.inputs).unwrap();
        assert_eq!(inputs["indicators"]["z"], 2.5);
        assert_eq!(inputs["weights"]["breakout"], 0.5);
        assert_eq!(inputs["probabilities"]["up"].as_f64(), Some(forecast.probability));
        assert!(inputs["interval"][0].as_f64() < Some(forecast.probability));
        assert_eq!(inputs["lift"].as_f64(), Some(1.0));
    }
}

#[test]
fn the_state_survives_its_bytes() {
    let mut bench = Bench::new();
    bench.engine.observe(
        &bench.parameters,
        0,
        Some(ClosingPrice {
            price: 100.0,
            slot_end_us: 0,
        }),
        Some(0.001),
    );
    bench.freeze(0, &[call(REVERSION, Direction::Up)]);
    bench.resolve(HORIZON, 101.0);
    bench.freeze(HORIZON, &[call(BREAKOUT, Direction::Down)]);
    let bytes = postcard::to_stdvec(&bench.engine).unwrap();
    let restored: ProbabilityEngine = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(restored, bench.engine);
    assert_eq!(postcard::to_stdvec(&restored).unwrap(), bytes);
}

fn mirrored(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    }
}

fn any_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down)]
}

fn any_round() -> impl Strategy<Value = (Vec<Call>, f64)> {
    let call = (0..2_usize, any_direction(), 0.0..1.0_f64, 0.0..1.0_f64).prop_map(
        |(strategy, direction, strength, confidence)| Call {
            strategy,
            direction,
            strength,
            confidence,
        },
    );
    let calls = prop::collection::vec(call, 0..3).prop_map(|mut calls| {
        calls.sort_by_key(|call| call.strategy);
        calls.dedup_by_key(|call| call.strategy);
        calls
    });
    (calls, -2..3_i32).prop_map(|(calls, quarters)| (calls, f64::from(quarters) * 0.25))
}

/// Runs rounds of (calls, log return in percent); starting at price 1, a return's sign alone makes the mirrored path.
fn run(rounds: &[(Vec<Call>, f64)], flip: bool) -> Effects {
    let mut bench = Bench::new();
    for (round, (calls, percent)) in (0..).zip(rounds) {
        let side = |direction| if flip { mirrored(direction) } else { direction };
        let calls: Vec<_> = calls
            .iter()
            .map(|call| Call {
                direction: side(call.direction),
                ..*call
            })
            .collect();
        let start = Moment {
            price: 1.0,
            ..moment(round * HORIZON)
        };
        let at_start = Some(ClosingPrice {
            price: 1.0,
            slot_end_us: round * HORIZON,
        });
        bench
            .engine
            .observe(&bench.parameters, round * HORIZON, at_start, Some(0.001));
        bench
            .engine
            .freeze(&bench.parameters, &start, &calls, &mut bench.effects);
        let end = libm::exp(if flip { -percent } else { *percent } / 100.0);
        bench.resolve((round + 1) * HORIZON, end);
    }
    bench.effects
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mirrored_path_swaps_up_and_down(rounds in prop::collection::vec(any_round(), 1..60)) {
        let (plain, turned) = (run(&rounds, false), run(&rounds, true));
        prop_assert_eq!(plain.forecasts.len(), turned.forecasts.len());
        for (a, b) in plain.forecasts.iter().zip(&turned.forecasts) {
            prop_assert_eq!(a.direction, -b.direction);
            prop_assert_eq!(a.probability.to_bits(), b.probability.to_bits());
            prop_assert_eq!(a.confidence, b.confidence);
        }
        for (a, b) in plain.outcomes.iter().zip(&turned.outcomes) {
            prop_assert_eq!(a.kind, b.kind);
        }
    }

    #[test]
    fn every_published_number_is_a_probability(rounds in prop::collection::vec(any_round(), 1..60)) {
        for forecast in run(&rounds, false).forecasts {
            prop_assert!(forecast.probability > 0.0 && forecast.probability < 1.0);
            let inputs: serde_json::Value = serde_json::from_str(&forecast.inputs).unwrap();
            let total: f64 = ["up", "down", "flat"].iter().filter_map(|k| inputs["probabilities"][k].as_f64()).sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
        }
    }
}
