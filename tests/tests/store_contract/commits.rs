//! What a commit writes, and what it refuses as a whole.

use assay_engine::{Forecast, OutcomeKind};
use assay_processor::stores::{Advance, StoreError};

use super::fixture::{Fixture, LIVE_FROM, PIPELINE, REVISION, START, dead_letter, forecast, full_step, outcome, step};

pub(crate) async fn an_empty_commit_moves_nothing(fixture: &Fixture) {
    assert!(fixture.store.commit(&[]).await.unwrap().is_empty());
}

pub(crate) async fn a_commit_shows_in_progress(fixture: &Fixture) {
    let fence = fixture.take_over(2, 7).await.fence;
    assert_eq!(fixture.store.commit(&[step(&fence, START, 120)]).await.unwrap(), [2]);
    let progress = fixture.progress(2).await;
    assert_eq!(progress.next_offset, 120);
    assert_eq!(progress.watermark_us, Some(1_723_078_800_123_456));
    assert_eq!(progress.state_digest, format!("{:032x}", 120));
    assert_eq!(progress.record_digest, format!("{START:032x}"));
    let counters =
        r#"{"accepted":7,"duplicate":0,"faulted":0,"gaps":0,"late":0,"rejected":{"undecodable":2},"ticks":0}"#;
    assert_eq!(progress.counters, counters);
}

pub(crate) async fn a_row_that_exists_fails_the_whole_statement(fixture: &Fixture) {
    let first = fixture.take_over(0, 7).await.fence;
    let second = fixture.take_over(1, 7).await.fence;
    fixture.store.commit(&[full_step(&first, START, 120)]).await.unwrap();
    let before = fixture.dump().await;
    let copy = full_step(&first, START, 120).forecasts;
    let spoiled = Advance {
        forecasts: copy,
        ..full_step(&first, 120, 130)
    };
    let refusal = fixture.store.commit(&[full_step(&second, START, 120), spoiled]).await;
    assert!(matches!(refusal, Err(StoreError::UniqueViolation(_))), "{refusal:?}");
    assert_eq!(fixture.dump().await, before);
}

pub(crate) async fn a_refused_row_fails_the_whole_statement(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let before = fixture.dump().await;
    for probability in [1.5, f64::NAN, -0.1] {
        let impossible = Forecast {
            probability,
            ..forecast("f", START)
        };
        let refusal = fixture
            .store
            .commit(&[Advance {
                forecasts: vec![impossible],
                ..full_step(&fence, START, 120)
            }])
            .await;
        assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    }
    assert_eq!(fixture.dump().await, before);
}

pub(crate) async fn the_phase_is_that_of_the_forecast(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let replayed = forecast("replayed", LIVE_FROM - 1);
    let live = forecast("live", LIVE_FROM);
    let outcomes = vec![outcome(&replayed, OutcomeKind::Miss), outcome(&live, OutcomeKind::Void)];
    let advance = Advance {
        forecasts: vec![replayed, live],
        outcomes,
        ..step(&fence, START, 2_000)
    };
    fixture.store.commit(&[advance]).await.unwrap();
    for table in ["forecasts", "strategy_results"] {
        let rows = fixture.rows(table).await;
        assert!(rows[0].contains("\tlive\t") && rows[0].contains("\tLIVE\t"), "{rows:?}");
        assert!(
            rows[1].contains("\treplayed\t") && rows[1].contains("\tREPLAYED\t"),
            "{rows:?}"
        );
    }
}

pub(crate) async fn two_revisions_or_a_partition_twice_in_one_commit_are_refused(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let mut foreign = fence.clone();
    foreign.revision = "another".into();
    foreign.partition = 1;
    for other in [foreign, fence.clone()] {
        let refusal = fixture
            .store
            .commit(&[step(&fence, START, 120), step(&other, START, 120)])
            .await;
        assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    }
    assert_eq!(fixture.progress(0).await.next_offset, START);
}

pub(crate) async fn a_step_back_is_refused(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    for to in [START, START - 1] {
        let refusal = fixture.store.commit(&[step(&fence, START, to)]).await;
        assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
    }
}

pub(crate) async fn numbers_at_their_limits_come_back_exactly(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let extreme = Forecast {
        // The last microsecond that Postgres can hold and i64 can count from 1970.
        emitted_at_us: i64::MAX,
        horizon_us: i64::MAX,
        probability: 5e-324,
        base_rate: 1.0 - f64::EPSILON / 2.0,
        offset: i64::MAX,
        direction: 1,
        overlapping: true,
        ..forecast("extreme", START)
    };
    let mut result = outcome(&extreme, OutcomeKind::Miss);
    (result.evaluated_at_us, result.offset, result.log_return) = (i64::MAX, i64::MAX, -f64::MAX);
    let mut letter = dead_letter(i64::MAX);
    (letter.record_time_us, letter.value_length) = (Some(i64::MIN), i64::MAX);
    let advance = Advance {
        watermark_us: Some(i64::MIN),
        forecasts: vec![extreme],
        outcomes: vec![result],
        dead_letters: vec![letter],
        ..step(&fence, START, i64::MAX)
    };
    fixture.store.commit(&[advance]).await.unwrap();
    let progress = fixture.progress(0).await;
    assert_eq!(
        (progress.next_offset, progress.watermark_us),
        (i64::MAX, Some(i64::MIN))
    );
    let max = i64::MAX;
    let forecasts = fixture.rows("forecasts").await.concat();
    assert!(
        forecasts.contains(&format!(
            "\t{max}\t{max}\tUP\t5e-324\tMEDIUM\t0.9999999999999999\ttrue\t"
        )),
        "{forecasts}"
    );
    let results = fixture.rows("strategy_results").await.concat();
    assert!(results.ends_with("\tMISS\t\t-1.7976931348623157e308"), "{results}");
    assert!(results.contains(&format!("\t{max}\t{max}\t{max}\tUP\t")), "{results}");
    let letters = fixture.rows("dead_letters").await.concat();
    assert!(letters.ends_with(&format!("\t{}", i64::MIN)), "{letters}");
}

pub(crate) async fn the_views_count_what_counts(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let all = [
        ("hit", OutcomeKind::Hit, 0.75, false),
        ("miss", OutcomeKind::Miss, 0.25, false),
        ("void", OutcomeKind::Void, 0.9, false),
        ("inside", OutcomeKind::Hit, 0.9, true),
    ];
    let outcomes = all.map(|(id, kind, probability, overlapping)| {
        let frozen = Forecast {
            probability,
            overlapping,
            base_rate: 0.5,
            ..forecast(id, LIVE_FROM)
        };
        outcome(&frozen, kind)
    });
    fixture
        .store
        .register(&super::fixture::registration(), true)
        .await
        .unwrap();
    fixture
        .store
        .commit(&[Advance {
            outcomes: outcomes.into(),
            ..step(&fence, START, 2_000)
        }])
        .await
        .unwrap();
    let rates = "SELECT outcomes || ' ' || hit_rate || ' ' || brier_score || ' ' || brier_skill FROM hit_rates";
    assert_eq!(fixture.ask(rates).await, ["2 0.5 0.0625 0.75"]);
    assert_eq!(
        fixture
            .ask("SELECT bin || ' ' || outcomes FROM calibration ORDER BY bin")
            .await,
        ["5 1", "15 1"]
    );
    assert_eq!(
        fixture
            .ask("SELECT CAST(count(*) AS text) FROM live_results WHERE generation = 1")
            .await,
        ["4"]
    );
    assert_eq!(
        fixture
            .ask("SELECT CAST(created_at AS text) FROM strategy_results WHERE forecast_id = 'hit'")
            .await,
        ["2024-08-08 01:00:00.000001+00"]
    );
}

pub(crate) async fn dead_letters_wait_for_the_mirror_until_its_cursor_passes(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let advance = Advance {
        dead_letters: [START, START + 1, START + 5].map(dead_letter).to_vec(),
        ..step(&fence, START, START + 6)
    };
    fixture.store.commit(&[advance]).await.unwrap();
    let waiting = async |limit| {
        let letters = fixture.store.unmirrored(PIPELINE, REVISION, 0, limit).await.unwrap();
        letters
            .iter()
            .map(|letter| letter.record_offset - START)
            .collect::<Vec<_>>()
    };
    let mirrored = async |to| fixture.store.mirrored(PIPELINE, REVISION, 0, START + to).await.unwrap();
    assert_eq!(waiting(2).await, [0, 1]);
    mirrored(2).await;
    assert_eq!(waiting(10).await, [5]);
    mirrored(1).await;
    assert_eq!(waiting(10).await, [5], "a cursor never falls");
    mirrored(6).await;
    assert!(waiting(10).await.is_empty());
}
