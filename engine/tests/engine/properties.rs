//! What must hold for every log.

use std::sync::Arc;

use assay_engine::{Disposition, PartitionState};
use proptest::prelude::*;

use crate::support::{Owned, Run, SECOND_US, SYMBOLS, Seeded, lively_log, short_settings};

/// Lets every slot close and every outcome fall due.
fn flush(log: &mut Vec<Owned>) {
    let newest = log.iter().map(Owned::time_us).max().unwrap_or(0);
    log.push(Owned::Tick {
        time_us: newest + 40 * SECOND_US,
    });
}

fn gapless_log(seed: u64, minutes: i64) -> Vec<Owned> {
    let mut log = lively_log(seed, minutes);
    log.retain(|record| matches!(record, Owned::Trade { .. }));
    log
}

#[test]
fn the_lively_log_exercises_everything() {
    let run = Run::of(&short_settings(), &lively_log(1, 30));
    let kinds: std::collections::BTreeSet<_> = run.effects.outcomes.iter().map(|outcome| outcome.kind).collect();
    assert_eq!(kinds.len(), 3, "HIT, MISS and VOID");
    let reasons: std::collections::BTreeSet<_> = run.effects.outcomes.iter().map(|row| row.void_reason).collect();
    assert_eq!(reasons.len(), 3, "judged, gap and stale price: {reasons:?}");
    for strategy in ["breakout", "reversion", "pooled"] {
        assert!(
            run.effects
                .forecasts
                .iter()
                .any(|forecast| forecast.strategy == strategy),
            "{strategy}"
        );
    }
    assert!(run.effects.forecasts.iter().any(|forecast| forecast.overlapping));
    assert!(
        SYMBOLS
            .iter()
            .all(|symbol| run.effects.outcomes.iter().any(|row| row.forecast.symbol == *symbol))
    );
    assert!(run.effects.faults.is_empty());
}

#[test]
fn the_incremental_digest_equals_the_recomputed_one_after_every_record() {
    let mut run = Run::new(&short_settings());
    for record in lively_log(2, 12) {
        run.step(&record.record());
        assert_eq!(
            run.state.digest(),
            run.state.digest_from_scratch(),
            "after record {}",
            run.dispositions.len()
        );
    }
}

#[test]
fn every_record_that_is_taken_changes_the_digest() {
    let mut run = Run::new(&short_settings());
    let mut before = run.state.digest();
    for record in lively_log(3, 5) {
        run.step(&record.record());
        let after = run.state.digest();
        assert_ne!(before, after, "record {}", run.dispositions.len());
        before = after;
    }
}

#[test]
fn rows_come_in_the_order_of_time_symbol_and_strategy() {
    let run = Run::of(&short_settings(), &lively_log(4, 30));
    let forecasts = run
        .effects
        .forecasts
        .iter()
        .map(|row| (row.emitted_at_us, &row.symbol, &row.strategy));
    assert!(forecasts.is_sorted());
    let outcomes = run.effects.outcomes.iter();
    assert!(
        outcomes
            .map(|row| (row.evaluated_at_us, &row.forecast.symbol, &row.forecast.strategy))
            .is_sorted()
    );
}

#[test]
fn ids_are_unique_and_every_counted_forecast_ends_once() {
    let mut log = lively_log(5, 30);
    flush(&mut log);
    log.push(Owned::Tick {
        time_us: log.last().unwrap().time_us() + 60 * SECOND_US,
    });
    let run = Run::of(&short_settings(), &log);
    let mut counted: Vec<_> = run
        .effects
        .forecasts
        .iter()
        .filter(|row| !row.overlapping)
        .map(|row| &row.id)
        .collect();
    let mut ended: Vec<_> = run.effects.outcomes.iter().map(|row| &row.forecast.id).collect();
    counted.sort();
    ended.sort();
    assert_eq!(counted, ended);
    let mut ids: Vec<_> = run.effects.forecasts.iter().map(|row| &row.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), run.effects.forecasts.len());
}

#[test]
fn no_outcome_reads_a_price_after_its_due_time() {
    let log = gapless_log(6, 30);
    let before = Run::of(&short_settings(), &log);
    assert!(before.effects.outcomes.len() > 30);
    for due_us in before
        .effects
        .outcomes
        .iter()
        .step_by(5)
        .map(|outcome| outcome.evaluated_at_us)
    {
        let mut altered = log.clone();
        for record in &mut altered {
            if let Owned::Trade { price, time_us, .. } = record
                && *time_us >= due_us
            {
                *price *= 2;
            }
        }
        let after = Run::of(&short_settings(), &altered);
        let until = |run: &Run| {
            let outcomes = run
                .effects
                .outcomes
                .iter()
                .filter(|outcome| outcome.evaluated_at_us <= due_us);
            outcomes.cloned().collect::<Vec<_>>()
        };
        assert_eq!(until(&before), until(&after), "outcomes due until {due_us}");
    }
}

#[test]
fn a_jump_over_centuries_of_silence_costs_only_what_was_there() {
    let mut log = lively_log(7, 20);
    log.push(Owned::Tick {
        time_us: 7_000 * 365 * 86_400 * SECOND_US,
    });
    let mut run = Run::of(&short_settings(), &log);
    assert_eq!(run.dispositions.last(), Some(&Disposition::Accepted));
    assert_eq!(run.state.digest(), run.state.digest_from_scratch());
    let views = run.state.views();
    assert!(
        views
            .iter()
            .all(|view| view.closed.contains(&("trade_count", "0".to_owned())))
    );
}

fn restored(run: &Run) -> PartitionState {
    let bytes = run.state.snapshot().expect("encodes");
    PartitionState::restore(Arc::new(short_settings()), &bytes).expect("restores")
}

#[test]
fn a_snapshot_of_another_revision_is_refused() {
    let run = Run::of(&short_settings(), &lively_log(8, 2));
    let other = assay_engine::Settings {
        revision: "revision-2".into(),
        ..short_settings()
    };
    let bytes = run.state.snapshot().expect("encodes");
    let error = PartitionState::restore(Arc::new(other), &bytes).expect_err("foreign");
    assert!(error.to_string().contains("revision-1"), "{error}");
}

#[test]
fn only_changed_symbols_are_shown_and_the_closed_text_is_shared() {
    let mut run = Run::of(&short_settings(), &gapless_log(9, 5));
    assert_eq!(run.state.take_changed().len(), 3);
    assert!(run.state.take_changed().is_empty());
    let newest = run.state.watermark_us().expect("trades were taken") + short_settings().lateness_us;
    let trade = |id, price| Owned::Trade {
        venue: "binance",
        symbol: "BTCUSDT",
        id,
        price,
        quantity: 1,
        bought: true,
        time_us: newest,
    };
    run.step(&trade(1, 5_000_000_000_000).record());
    let first = run.state.take_changed();
    run.step(&trade(2, 5_000_100_000_000).record());
    let second = run.state.take_changed();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(Arc::ptr_eq(&first[0].closed, &second[0].closed));
    assert!(
        second[0].last.contains(&("price", "50001".to_owned())),
        "{:?}",
        second[0].last
    );
    assert!(second[0].version > first[0].version && second[0].closed_version == first[0].closed_version);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn batches_looks_and_restarts_leave_no_trace(seed in any::<u64>()) {
        let log = lively_log(seed, 10);
        let mut plain = Run::of(&short_settings(), &log);
        let (mut disturbed, mut random) = (Run::new(&short_settings()), Seeded(seed));
        for record in &log {
            disturbed.step(&record.record());
            match random.below(120) {
                0 => disturbed.state = restored(&disturbed),
                1 => drop(disturbed.state.take_changed()),
                2..5 => drop(disturbed.state.digest()),
                _ => {}
            }
        }
        prop_assert_eq!(&plain.effects, &disturbed.effects);
        prop_assert_eq!(plain.state.digest(), disturbed.state.digest());
        prop_assert_eq!(plain.state.views(), disturbed.state.views());
        prop_assert_eq!(plain.state.take_changed(), restored(&plain).take_changed());
        prop_assert_eq!(plain.state.counters(), disturbed.state.counters());
        prop_assert!(plain.state.snapshot().expect("encodes") == disturbed.state.snapshot().expect("encodes"));
    }

    #[test]
    fn duplicates_and_permutations_inside_the_lateness_bound_change_nothing(seed in any::<u64>()) {
        let mut log = gapless_log(seed, 10);
        let mut random = Seeded(seed);
        let lateness = short_settings().lateness_us.unsigned_abs();
        let mut disturbed: Vec<(i64, Owned)> = Vec::new();
        for record in &log {
            let copies = if random.below(10) == 0 { 3 } else { 1 };
            for _ in 0..copies {
                let delay = i64::try_from(random.below(lateness)).unwrap();
                disturbed.push((record.time_us() + delay, record.clone()));
            }
        }
        disturbed.sort_by_key(|(arrival_us, _)| *arrival_us);
        let mut disturbed: Vec<Owned> = disturbed.into_iter().map(|(_, record)| record).collect();
        flush(&mut log);
        disturbed.push(log.last().cloned().unwrap());
        let (plain, disturbed) = (Run::of(&short_settings(), &log), Run::of(&short_settings(), &disturbed));
        prop_assert_eq!(disturbed.state.counters().late, 0);
        prop_assert!(disturbed.state.counters().duplicate > 0);
        prop_assert_eq!(plain.rows_without_offsets(), disturbed.rows_without_offsets());
        prop_assert_eq!(plain.views_without_versions(), disturbed.views_without_versions());
    }

    #[test]
    fn a_snapshot_that_was_altered_is_refused(seed in any::<u64>()) {
        let run = Run::of(&short_settings(), &lively_log(seed, 1));
        let mut bytes = run.state.snapshot().expect("encodes");
        let mut random = Seeded(seed);
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        prop_assert!(PartitionState::restore(Arc::new(short_settings()), &bytes[..at]).is_err());
        bytes[at] ^= 1 << random.below(8);
        prop_assert!(PartitionState::restore(Arc::new(short_settings()), &bytes).is_err());
    }
}
