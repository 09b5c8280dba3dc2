//! The protocol of one partition against the real engine: a log in memory, no store, no Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::Settings;
use assay_engine::settings::{StrategySettings, VwapReversionSettings};

use super::*;
use crate::stores::{Advance, Fence, Progress, Snapshot};

const START: i64 = 100;

fn settings() -> Arc<Settings> {
    let reversion = VwapReversionSettings {
        entry_z: 0.5,
        exit_z: 0.2,
        max_z: 3.0,
        min_trades: 4,
        min_deviation_ticks: 0.1,
    };
    Arc::new(Settings {
        revision: "r-1".into(),
        lateness_us: 1_000_000,
        dedupe_window_us: 600_000_000,
        vwap_window_s: 10,
        profile_window_s: 10,
        range_bar_s: 2,
        range_bars: 3,
        strategies: BTreeMap::from([("vwap-reversion".into(), StrategySettings::VwapReversion(reversion))]),
        horizon_us: 5_000_000,
        volatility_multiple: 0.5,
        stale_after_us: 10_000_000,
        prior_strength: 30.0,
        decay_outcomes: 4000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    })
}

/// Offset and value of every record: a trade every other second, one record in fifty is garbage.
fn log(records: i64) -> Vec<(i64, String)> {
    (0..records)
        .map(|n| (START + n, if n % 50 == 49 { "garbage".into() } else { trade(n) }))
        .collect()
}

fn trade(n: i64) -> String {
    let time = 1_700_000_000_000_000 + n * 2_000_000;
    let cents = (n * 37 % 91) - (n * 11 % 53);
    format!(
        r#"{{"v":1,"venue":"test","symbol":"BTCUSDT","trade_id":{n},"price":"{}.{:02}","quantity":"0.5","side":"buy","event_time_us":{time},"received_time_us":{time}}}"#,
        1000 + cents.div_euclid(100),
        cents.rem_euclid(100)
    )
}

fn raw(record: &(i64, String)) -> RawRecord<'_> {
    RawRecord {
        offset: record.0,
        record_time_us: None,
        key: b"BTCUSDT",
        value: record.1.as_bytes(),
        headers: None,
    }
}

fn fresh(epoch: i64) -> Progress {
    Progress {
        fence: Fence {
            pipeline: "p".into(),
            revision: "r-1".into(),
            partition: 0,
            epoch,
            owner_nonce: epoch,
        },
        start_offset: START,
        live_from_offset: START,
        next_offset: START,
        watermark_us: None,
        state_digest: String::new(),
        record_digest: String::new(),
        counters: "{}".into(),
    }
}

fn after(advance: &Advance, epoch: i64) -> Progress {
    Progress {
        next_offset: advance.to_offset,
        watermark_us: advance.watermark_us,
        state_digest: advance.state_digest.clone(),
        record_digest: advance.record_digest.clone(),
        ..fresh(epoch)
    }
}

fn bounds(log: &[(i64, String)]) -> LogBounds {
    LogBounds {
        start: log[0].0,
        end: log[log.len() - 1].0 + 1,
    }
}

fn recovered(progress: Progress, snapshots: &[Snapshot], log: &[(i64, String)]) -> Result<Recovered, Stop> {
    recover(progress, snapshots, bounds(log), &settings())
}

/// Reads on from the resume offset to the log's end.
fn read_on(recovered: &mut Recovered, log: &[(i64, String)]) -> Result<Applied, Stop> {
    let from = recovered.resume_offset;
    recovered
        .partition
        .ingest(log.iter().filter(|record| record.0 >= from).map(raw))
}

/// A partition that read the log's first records and committed them, with a snapshot right there.
fn committed(records: &[(i64, String)]) -> (Advance, Snapshot) {
    let mut partition = recovered(fresh(1), &[], records).unwrap().partition;
    partition.ingest(records.iter().map(raw)).unwrap();
    let advance = partition.make_advance().unwrap();
    let snapshot = partition.take_snapshot().encode().unwrap();
    partition.settle(&Verdict::Advanced);
    (advance, snapshot)
}

#[test]
fn a_new_partition_is_live_at_once_and_advances_from_its_start() {
    let log = log(400);
    let mut first = recovered(fresh(1), &[], &log).unwrap();
    assert!(!first.partition.is_replaying());
    assert_eq!(first.resume_offset, START);
    read_on(&mut first, &log).unwrap();
    let advance = first.partition.make_advance().unwrap();
    assert_eq!((advance.from_offset, advance.to_offset), (START, START + 400));
    assert_eq!(advance.dead_letters.len(), 8);
    assert!(!advance.forecasts.is_empty() && !advance.outcomes.is_empty());
}

#[test]
fn replay_is_silent_and_arrives_at_the_committed_state() {
    let log = log(400);
    let (advance, _) = committed(&log[..250]);
    let mut second = recovered(after(&advance, 2), &[], &log).unwrap();
    assert_eq!(second.resume_offset, START);
    let applied = read_on(&mut second, &log).unwrap();
    assert_eq!((applied.replayed, applied.live), (250, 150));
    let next = second.partition.make_advance().unwrap();
    assert_eq!(next.from_offset, advance.to_offset);
    assert!(
        next.dead_letters
            .iter()
            .all(|letter| letter.offset >= advance.to_offset)
    );
    assert!(
        next.forecasts
            .iter()
            .all(|forecast| forecast.offset >= advance.to_offset)
    );
}

#[test]
fn two_advances_carry_the_rows_of_one() {
    let log = log(400);
    let whole = committed(&log).0;
    let (first, snapshot) = committed(&log[..123]);
    let mut second = recovered(after(&first, 2), &[snapshot], &log).unwrap();
    read_on(&mut second, &log).unwrap();
    let rest = second.partition.make_advance().unwrap();
    assert_eq!([first.forecasts, rest.forecasts].concat(), whole.forecasts);
    assert_eq!([first.outcomes, rest.outcomes].concat(), whole.outcomes);
    assert_eq!(
        (rest.state_digest, rest.record_digest),
        (whole.state_digest, whole.record_digest)
    );
    assert_eq!(rest.counters, whole.counters);
}

#[test]
fn a_snapshot_at_the_committed_offset_still_reads_the_last_record_again() {
    let log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    let mut second = recovered(after(&advance, 2), &[snapshot], &log).unwrap();
    assert_eq!(second.resume_offset, advance.to_offset - 1);
    let applied = read_on(&mut second, &log).unwrap();
    assert_eq!((applied.replayed, applied.live), (1, 100));
}

#[test]
fn a_snapshot_ahead_of_progress_is_left_aside() {
    let log = log(300);
    let (advance, _) = committed(&log[..100]);
    let (_, ahead) = committed(&log[..200]);
    let second = recovered(after(&advance, 2), &[ahead], &log).unwrap();
    assert_eq!((second.resume_offset, second.unusable_snapshots.len()), (START, 1));
}

#[test]
fn a_damaged_snapshot_costs_a_longer_replay_and_nothing_else() {
    let log = log(300);
    let (older_advance, older) = committed(&log[..100]);
    let (advance, mut newest) = committed(&log[..200]);
    let middle = newest.blob.len() / 2;
    newest.blob.truncate(middle);
    let mut second = recovered(after(&advance, 2), &[newest, older], &log).unwrap();
    assert_eq!(second.resume_offset, older_advance.to_offset);
    assert_eq!(second.unusable_snapshots.len(), 1);
    read_on(&mut second, &log).unwrap();
    assert!(!second.partition.is_replaying());
}

#[test]
fn a_snapshot_of_another_state_is_not_believed() {
    let log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    let (_, other) = committed(&log[..150]);
    let forged = Snapshot {
        blob: other.blob,
        ..snapshot
    };
    let second = recovered(after(&advance, 2), &[forged], &log).unwrap();
    assert_eq!(second.resume_offset, START);
}

#[test]
fn another_record_before_the_committed_offset_stops_the_partition() {
    let log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    let mut other = log.clone();
    other[199].1 = trade(9999);
    let mut second = recovered(after(&advance, 2), &[snapshot], &other).unwrap();
    let stop = read_on(&mut second, &other).unwrap_err();
    assert_eq!(
        stop,
        Stop::RecordChanged {
            offset: advance.to_offset - 1
        }
    );
}

#[test]
fn a_missing_record_before_the_committed_offset_stops_the_partition() {
    let mut log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    log.remove(199);
    let mut second = recovered(after(&advance, 2), &[snapshot], &log).unwrap();
    let stop = read_on(&mut second, &log).unwrap_err();
    assert_eq!(
        stop,
        Stop::RecordMissing {
            offset: advance.to_offset - 1
        }
    );
}

#[test]
fn a_log_changed_further_back_is_found_by_the_state() {
    let log = log(300);
    let (advance, _) = committed(&log[..200]);
    let mut other = log.clone();
    other[20].1 = trade(5000);
    let mut second = recovered(after(&advance, 2), &[], &other).unwrap();
    assert_eq!(read_on(&mut second, &other).unwrap_err().code(), "state_differs");
}

#[test]
fn a_truncated_log_and_a_passed_retention_are_named() {
    let log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    let snapshots = [snapshot];
    let stop = recovered(after(&advance, 2), &snapshots, &log[..150]).unwrap_err();
    assert_eq!(
        stop,
        Stop::LogTruncated {
            next_offset: START + 200,
            log_end: START + 150
        }
    );
    let stop = recovered(after(&advance, 2), &snapshots, &log[201..]).unwrap_err();
    assert_eq!(
        stop,
        Stop::RetentionPassed {
            wanted: START + 199,
            log_start: START + 201
        }
    );
}

#[test]
fn a_quiet_partition_whose_records_expired_goes_on_from_an_exact_snapshot() {
    let log = log(300);
    let (advance, snapshot) = committed(&log[..200]);
    let mut second = recovered(after(&advance, 2), &[snapshot], &log[200..]).unwrap();
    assert_eq!(second.resume_offset, START + 200);
    assert_eq!(read_on(&mut second, &log).unwrap().live, 100);
}

#[test]
fn an_offset_that_goes_back_stops_the_partition() {
    let log = log(10);
    let mut partition = recovered(fresh(1), &[], &log).unwrap().partition;
    partition.ingest(log[..5].iter().map(raw)).unwrap();
    let stop = partition.ingest(log[3..].iter().map(raw)).unwrap_err();
    assert_eq!(
        stop,
        Stop::OffsetWentBack {
            expected: START + 5,
            found: START + 3
        }
    );
}

#[test]
fn skipped_offsets_are_counted_and_legal() {
    let log = log(10);
    let mut partition = recovered(fresh(1), &[], &log).unwrap().partition;
    let applied = partition
        .ingest(log.iter().filter(|record| record.0 % 2 == 0).map(raw))
        .unwrap();
    assert_eq!((applied.live, applied.skipped), (5, 4));
}

#[test]
fn records_that_come_while_an_advance_is_under_way_wait_for_the_next() {
    let log = log(300);
    let mut partition = recovered(fresh(1), &[], &log).unwrap().partition;
    partition.ingest(log[..100].iter().map(raw)).unwrap();
    let first = partition.make_advance().unwrap();
    partition.ingest(log[100..].iter().map(raw)).unwrap();
    assert!(partition.make_advance().is_none());
    partition.settle(&Verdict::Advanced);
    let second = partition.make_advance().unwrap();
    assert_eq!(
        (first.to_offset, second.from_offset, second.to_offset),
        (START + 100, START + 100, START + 300)
    );
}

#[test]
fn nothing_new_makes_no_advance() {
    let log = log(10);
    let mut partition = recovered(fresh(1), &[], &log).unwrap().partition;
    assert!(partition.make_advance().is_none());
    partition.ingest(log.iter().map(raw)).unwrap();
    assert!(partition.make_advance().is_some());
    partition.settle(&Verdict::Advanced);
    assert!(partition.make_advance().is_none());
    assert!(partition.snapshot_at_rest().is_some());
}

#[test]
fn nothing_is_published_during_replay() {
    let log = log(300);
    let (advance, _) = committed(&log[..200]);
    let mut second = recovered(after(&advance, 2), &[], &log).unwrap();
    second.partition.ingest(log[..100].iter().map(raw)).unwrap();
    assert!(second.partition.take_changed().is_empty() && second.partition.everything().is_none());
    second.partition.ingest(log[100..200].iter().map(raw)).unwrap();
    assert_eq!(second.partition.everything().unwrap().views.len(), 1);
}
