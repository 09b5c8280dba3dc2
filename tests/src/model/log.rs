//! The simulated log, and what one undisturbed pass over it gives: the oracle of every run.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::settings::{RangeBreakoutSettings, StrategySettings};
use assay_engine::{PartitionState, Settings, SymbolView};
use assay_processor::partition::{LogBounds, state_digest_text};
use assay_processor::partition::{Partition, RawRecord, recover};
use assay_processor::stores::{Advance, Fence, Progress};

use super::rng::Rng;
use super::rows::{Mark, Rows};

/// Partitions of the simulated topic.
pub(super) const PARTITIONS: i32 = 2;

/// Both revisions of a run: the second is promoted and rolled back at random.
pub(super) const REVISIONS: [&str; 2] = ["a", "b"];

/// A record as produced.
#[derive(Debug, Clone)]
pub(super) struct StoredRecord {
    /// Key bytes.
    pub(super) key: Vec<u8>,
    /// Value bytes.
    pub(super) value: Vec<u8>,
}

/// The whole log of a run, and the results of an undisturbed pass over each of its partitions by each revision.
#[derive(Debug)]
pub struct World {
    /// Records by partition.
    pub(super) records: Vec<Vec<StoredRecord>>,
    /// By (revision, partition).
    pub(super) truth: BTreeMap<(usize, i32), Truth>,
    /// Settings by revision.
    pub(super) settings: [Arc<Settings>; 2],
}

/// What an undisturbed pass over a partition gives.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// All rows.
    pub(super) rows: Rows,
    /// How many rows the records below the index give.
    pub(super) marks: Vec<Mark>,
    /// State digest after every record below the index.
    pub(super) digests: Vec<String>,
    /// Every view ever shown, by symbol and version.
    pub(super) views: BTreeMap<(String, i64), SymbolView>,
    /// The views at the end.
    pub(super) last_views: BTreeMap<String, SymbolView>,
}

impl World {
    /// The log of a seed with `length` records a partition.
    #[must_use]
    pub fn new(seed: u64, length: usize) -> Self {
        let mut rng = Rng::new(seed);
        let records: Vec<_> = (0..PARTITIONS)
            .map(|partition| records(&mut rng, partition, length))
            .collect();
        let settings = REVISIONS.map(|revision| Arc::new(settings(revision)));
        let mut truth = BTreeMap::new();
        for (revision, settings) in settings.iter().enumerate() {
            for partition in 0..PARTITIONS {
                let pass = undisturbed(&records[partition as usize], revision, partition, settings);
                truth.insert((revision, partition), pass);
            }
        }
        Self {
            records,
            truth,
            settings,
        }
    }

    /// Records of a partition in `[from, to)`.
    pub(super) fn read(&self, partition: i32, from: i64, to: i64) -> impl Iterator<Item = RawRecord<'_>> {
        let all = &self.records[partition as usize];
        (from..to).map(|offset| {
            let StoredRecord { key, value } = &all[offset as usize];
            RawRecord {
                offset,
                record_time_us: None,
                key,
                value,
                headers: None,
            }
        })
    }
}

/// The first progress of a partition.
#[must_use]
pub(super) fn initial_progress(revision: usize, partition: i32) -> Progress {
    Progress {
        fence: Fence {
            pipeline: "p".into(),
            revision: REVISIONS[revision].into(),
            partition,
            epoch: 0,
            owner_nonce: 0,
        },
        start_offset: 0,
        live_from_offset: 0,
        next_offset: 0,
        watermark_us: None,
        state_digest: String::new(),
        record_digest: String::new(),
        counters: String::new(),
    }
}

/// Steps record by record, without a crash, a batch or a snapshot.
fn undisturbed(records: &[StoredRecord], revision: usize, partition: i32, settings: &Arc<Settings>) -> Truth {
    let bounds = LogBounds {
        start: 0,
        end: records.len() as i64,
    };
    let mut pass: Partition = match recover(initial_progress(revision, partition), &[], bounds, settings) {
        Ok(recovered) => recovered.partition,
        Err(stop) => unreachable!("an empty partition starts: {stop}"),
    };
    let empty = state_digest_text(PartitionState::new(Arc::clone(settings)).digest());
    let mut truth = Truth {
        digests: vec![empty],
        marks: vec![Mark::default()],
        ..Truth::default()
    };
    for (offset, StoredRecord { key, value }) in records.iter().enumerate() {
        let record = RawRecord {
            offset: offset as i64,
            record_time_us: None,
            key,
            value,
            headers: None,
        };
        if let Err(stop) = pass.ingest([record]) {
            unreachable!("an undisturbed pass goes on: {stop}");
        }
        truth.note(&mut pass);
    }
    truth
}

impl Truth {
    fn note(&mut self, pass: &mut Partition) {
        for view in pass.take_changed() {
            self.last_views.insert(view.symbol.clone(), view.clone());
            self.views.insert((view.symbol.clone(), view.version), view);
        }
        if let Some(advance) = pass.make_advance() {
            self.rows.append(&advance);
            self.marks.push(self.rows.mark());
            self.digests.push(advance.state_digest.clone());
            pass.settle(&assay_processor::partition::Verdict::Advanced);
        }
    }

    /// What is wrong with an advance, if anything: its rows and digest must be those of the undisturbed pass.
    #[must_use]
    pub(super) fn objection(&self, advance: &Advance) -> Option<String> {
        let (from, to) = (advance.from_offset, advance.to_offset);
        if self.digests.get(to as usize) != Some(&advance.state_digest) {
            return Some(format!("I3: digest at {to} differs"));
        }
        let expected = self
            .rows
            .holds(advance, self.marks[from as usize], self.marks[to as usize]);
        (!expected).then(|| format!("I4: rows of [{from}, {to}) differ"))
    }
}

/// Trades of two symbols that wander and jump, with copies, late ones, gaps, ticks and poison in between.
fn records(rng: &mut Rng, partition: i32, length: usize) -> Vec<StoredRecord> {
    let mut now_us: u64 = 1_700_000_000_000_000;
    let mut price: u64 = 10_000;
    let mut all: Vec<StoredRecord> = Vec::with_capacity(length);
    for number in 0..length {
        now_us += 10_000_000 + rng.below(20_000_000);
        price = (price + rng.below(200)).saturating_sub(95).max(1_000);
        let symbol = ["AAA", "BBB"][rng.index(2)];
        let value = match rng.below(20) {
            0 => "not json".to_owned(),
            1 => format!(r#"{{"v":1,"kind":"tick","event_time_us":{now_us}}}"#),
            2 => {
                let (from, to) = (now_us - 9_000_000, now_us - 8_000_000);
                format!(r#"{{"v":1,"kind":"gap","symbol":"{symbol}{partition}","from_us":{from},"to_us":{to}}}"#)
            }
            3 if !all.is_empty() => {
                let copied = all[rng.index(all.len())].clone();
                all.push(copied);
                continue;
            }
            4 => trade(symbol, partition, number, price, now_us - 90_000_000),
            _ => trade(symbol, partition, number, price, now_us),
        };
        all.push(StoredRecord {
            key: format!("{symbol}{partition}").into_bytes(),
            value: value.into_bytes(),
        });
    }
    all
}

fn trade(symbol: &str, partition: i32, id: usize, cents: u64, event_time_us: u64) -> String {
    let (whole, rest) = (cents / 100, cents % 100);
    format!(
        r#"{{"v":1,"venue":"sim","symbol":"{symbol}{partition}","trade_id":{id},"price":"{whole}.{rest:02}","quantity":"1.5","side":"buy","event_time_us":{event_time_us},"received_time_us":{event_time_us}}}"#
    )
}

/// Short windows, so that half an hour in a hundred records gives forecasts and outcomes.
fn settings(revision: &str) -> Settings {
    let breakout = RangeBreakoutSettings {
        volume_ratio: 0.1,
        volume_bars: 1,
    };
    Settings {
        revision: revision.to_owned(),
        lateness_us: 5_000_000,
        dedupe_window_us: 600_000_000,
        vwap_window_s: 120,
        profile_window_s: 120,
        range_bar_s: 30,
        range_bars: 2,
        strategies: [("breakout".to_owned(), StrategySettings::RangeBreakout(breakout))].into(),
        horizon_us: if revision == REVISIONS[0] {
            60_000_000
        } else {
            90_000_000
        },
        volatility_multiple: 0.5,
        stale_after_us: 150_000_000,
        prior_strength: 30.0,
        decay_outcomes: 4_000.0,
        learning_rate: 0.1,
        symbols: BTreeMap::new(),
    }
}
