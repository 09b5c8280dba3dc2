//! How the whole engine behaves on series whose nature is known.
//!
//! A random walk has nothing to find, and the engine must say so; a series that reverts has, and it must find it.

use assay_engine::evaluation::Calibration;
use assay_engine::fixed_point::SCALE;
use assay_engine::{Forecast, OutcomeKind};

use crate::support::{Owned, Run, Seeded, series, settings};

const EVERY_S: i64 = 5;

/// Log price per `EVERY_S` seconds: it forgets its distance from the start with time constant `reversion_s`, if any.
fn log_price(seed: u64, reversion_s: Option<f64>) -> impl FnMut() -> f64 {
    let (mut random, mut distance) = (Seeded(seed), 0.0_f64);
    let kept = reversion_s.map_or(1.0, |time| libm::exp(-(EVERY_S as f64) / time));
    move || {
        distance = distance * kept + 0.000_2 * random.normal();
        20_000.0 * libm::exp(distance)
    }
}

struct Seen {
    score: Calibration,
    high: usize,
    up_share: f64,
}

fn observe(hours: i64, price: impl FnMut() -> f64) -> Seen {
    let mut run = Run::new(&settings());
    for record in series(hours * 3_600, EVERY_S, price) {
        run.step(&record.record());
    }
    let mut score = Calibration::default();
    for one in run.state.scores().filter(|score| score.strategy != "pooled") {
        score.merge(one.tracker.calibration());
    }
    let high = run
        .effects
        .forecasts
        .iter()
        .filter(|forecast| forecast.confidence == "HIGH")
        .count();
    Seen {
        score,
        high,
        up_share: mean_up_share(&run.effects.forecasts),
    }
}

/// Mean base rate of the side called: both sides start at 0.31 and stay near it.
fn mean_up_share(forecasts: &[Forecast]) -> f64 {
    forecasts.iter().map(|forecast| forecast.base_rate).sum::<f64>() / forecasts.len() as f64
}

#[test]
fn a_random_walk_shows_no_skill_and_is_never_called_high() {
    for seed in [1, 11, 12, 13, 14, 15] {
        let seen = observe(200, log_price(seed, None));
        let skill = seen.score.brier_skill().expect("outcomes");
        assert!(seen.score.judged >= 500, "{} outcomes", seen.score.judged);
        assert!(skill.abs() < 0.02, "seed {seed}: skill {skill}");
        assert!(
            (seen.up_share - 0.31).abs() < 0.02,
            "seed {seed}: base rate {}",
            seen.up_share
        );
        assert_eq!(seen.high, 0, "seed {seed}");
    }
}

#[test]
fn a_reverting_series_shows_skill_and_some_high() {
    let seen = observe(250, log_price(21, Some(600.0)));
    let skill = seen.score.brier_skill().expect("outcomes");
    assert!(seen.score.judged >= 500, "{} outcomes", seen.score.judged);
    assert!(skill > 0.05, "skill {skill}");
    assert!(seen.high > 0);
}

/// `2c − p`: every rise becomes a fall of the same size.
fn mirrored(record: Owned, centre: i64) -> Owned {
    match record {
        Owned::Trade {
            venue,
            symbol,
            id,
            price,
            quantity,
            bought,
            time_us,
        } => Owned::Trade {
            venue,
            symbol,
            id,
            price: 2 * centre - price,
            quantity,
            bought: !bought,
            time_us,
        },
        other => other,
    }
}

#[test]
fn a_mirrored_path_swaps_up_and_down() {
    let centre = 20_000 * SCALE;
    // Steps this small make the logarithm of the mirrored path the mirrored logarithm, up to 1e-6 of a step.
    let small = |seed| {
        let mut price = log_price(seed, Some(600.0));
        move || 20_000.0 + (price() - 20_000.0) * 0.01
    };
    let run = |flip: bool| {
        let mut run = Run::new(&settings());
        for record in series(60 * 3_600, EVERY_S, small(31)) {
            let record = if flip { mirrored(record, centre) } else { record };
            run.step(&record.record());
        }
        run
    };
    let (plain, flipped) = (run(false), run(true));
    assert!(plain.effects.outcomes.len() > 30);
    assert_eq!(plain.effects.outcomes.len(), flipped.effects.outcomes.len());
    for (one, other) in plain.effects.outcomes.iter().zip(&flipped.effects.outcomes) {
        assert_eq!(one.forecast.id, other.forecast.id);
        assert_eq!(one.forecast.direction, -other.forecast.direction);
        assert_eq!(one.kind, other.kind);
        assert!((one.forecast.probability - other.forecast.probability).abs() < 1e-9);
        assert!((one.log_return + other.log_return).abs() < 1e-8);
    }
    assert!(
        plain
            .effects
            .outcomes
            .iter()
            .any(|outcome| outcome.kind == OutcomeKind::Hit)
    );
}
