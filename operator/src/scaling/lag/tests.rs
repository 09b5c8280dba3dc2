use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::kafka::LogBounds;

fn row(next_offset: i64, watermark_us: Option<i64>) -> StoredProgress {
    StoredProgress {
        start_offset: 0,
        live_from_offset: 0,
        next_offset,
        watermark_us,
    }
}

/// One partition: bounds and progress as found, and the lag that must come of it; `None` = unknown.
#[rstest]
#[case::plain(Some((0, 100)), Some(40), Some(60))]
#[case::nothing_waits(Some((0, 100)), Some(100), Some(0))]
#[case::retention_took_what_waited(Some((70, 100)), Some(40), Some(30))]
#[case::progress_read_after_the_end(Some((0, 100)), Some(105), Some(0))]
#[case::an_empty_log(Some((0, 0)), Some(0), Some(0))]
#[case::an_emptied_log(Some((100, 100)), Some(40), Some(0))]
#[case::no_progress_is_not_zero(Some((0, 100)), None, None)]
#[case::no_bounds_are_not_zero(None, Some(40), None)]
#[case::nothing_at_all(None, None, None)]
fn lag_of_a_partition(#[case] log: Option<(i64, i64)>, #[case] next: Option<i64>, #[case] expected: Option<i64>) {
    let bounds: Bounds = log
        .map(|(start, end)| (0, LogBounds { start, end }))
        .into_iter()
        .collect();
    let progress = next.map(|next| (0, row(next, None))).into_iter().collect();
    let lag = lag(1, &bounds, &progress);
    assert_eq!(lag.known.get(&0).copied(), expected);
    assert_eq!(lag.total(), expected);
    assert_eq!(lag.unknown.is_empty(), expected.is_some());
}

#[test]
fn one_unknown_partition_makes_the_total_unknown_and_keeps_the_others() {
    let bounds: Bounds = [
        (0, LogBounds { start: 0, end: 10 }),
        (2, LogBounds { start: 0, end: 30 }),
    ]
    .into();
    let progress = BTreeMap::from([(0, row(0, None)), (1, row(0, None)), (2, row(0, None))]);
    let lag = lag(3, &bounds, &progress);
    assert_eq!((lag.total(), lag.unknown.as_slice()), (None, &[1][..]));
    assert_eq!(lag.worst(10), [(2, 30), (0, 10)]);
    assert_eq!(lag.worst(1), [(2, 30)]);
}

fn samples(seconds: u64, ends: [i64; 2], progress: [i64; 2]) -> Option<Rates> {
    let at = Instant::now();
    let before = Sample {
        at,
        ends: ends[0],
        progress: progress[0],
    };
    rates(
        &before,
        &Sample {
            at: at + Duration::from_secs(seconds),
            ends: ends[1],
            progress: progress[1],
        },
    )
}

#[test]
fn rates_are_records_a_second() {
    assert_eq!(
        samples(10, [0, 50], [0, 200]),
        Some(Rates {
            arrival: 5.0,
            drain: 20.0
        })
    );
}

#[rstest]
#[case::too_near(0, [0, 50], [0, 200])]
#[case::a_recreated_topic(10, [100, 50], [0, 200])]
#[case::another_revision(10, [0, 50], [200, 0])]
fn rates_are_unknown_where_the_samples_do_not_fit(
    #[case] seconds: u64,
    #[case] ends: [i64; 2],
    #[case] progress: [i64; 2],
) {
    assert_eq!(samples(seconds, ends, progress), None);
}

#[rstest]
#[case(Some(0), None, TimeToDrain::Seconds(0.0))]
#[case(Some(300), Some((10.0, 40.0)), TimeToDrain::Seconds(10.0))]
#[case(Some(20), Some((40.0, 40.0)), TimeToDrain::Seconds(0.5))]
#[case(Some(300), Some((40.0, 40.0)), TimeToDrain::Never)]
#[case(Some(300), Some((0.0, 0.0)), TimeToDrain::Never)]
#[case(Some(300), None, TimeToDrain::Unknown)]
#[case(None, Some((0.0, 10.0)), TimeToDrain::Unknown)]
fn time_to_drain_of(#[case] total: Option<i64>, #[case] rates: Option<(f64, f64)>, #[case] expected: TimeToDrain) {
    assert_eq!(
        time_to_drain(total, rates.map(|(arrival, drain)| Rates { arrival, drain })),
        expected
    );
}

#[rstest]
#[case::nothing_waits(Some(1000), 0, Some(5_000), Headroom::Millis(1000))]
#[case::read_up_to_300_ms_ago(Some(1000), 7, Some(9_700), Headroom::Millis(700))]
#[case::losing_records(Some(1000), 7, Some(1_000), Headroom::Millis(0))]
#[case::kept_for_ever(Some(-1), 7, Some(1_000), Headroom::Unlimited)]
#[case::unknown_retention(None, 7, Some(1_000), Headroom::Unknown)]
#[case::no_watermark_yet(Some(1000), 7, None, Headroom::Unknown)]
fn headroom_of(
    #[case] retention: Option<i64>,
    #[case] records: i64,
    #[case] watermark_ms: Option<i64>,
    #[case] expected: Headroom,
) {
    let lag = Lag {
        known: [(0, records)].into(),
        unknown: vec![],
    };
    let progress = BTreeMap::from([(0, row(0, watermark_ms.map(|ms| ms * 1000)))]);
    assert_eq!(headroom(retention, 10_000, &lag, &progress), expected);
}

#[test]
fn headroom_is_unknown_where_lag_is() {
    let lag = Lag {
        known: BTreeMap::new(),
        unknown: vec![0],
    };
    assert_eq!(headroom(Some(1000), 0, &lag, &BTreeMap::new()), Headroom::Unknown);
}
