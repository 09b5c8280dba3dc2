//! Logs for tests: made from a seed, so that a failure can be repeated, and a run that collects what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::fixed_point::SCALE;
use assay_engine::settings::{RangeBreakoutSettings, StrategySettings, VwapReversionSettings};
use assay_engine::{Disposition, Effects, PartitionState, Position, Record, Settings, Side, SymbolView, Trade};

pub(crate) const SECOND_US: i64 = 1_000_000;
/// 2024-08-08 00:00:00 UTC.
pub(crate) const START_US: i64 = 1_723_075_200 * SECOND_US;

/// The documented defaults: W = 1,800 s, H = 300 s, k = 0.5.
pub(crate) fn settings() -> Settings {
    let reversion = VwapReversionSettings {
        entry_z: 2.0,
        exit_z: 0.5,
        max_z: 4.0,
        min_trades: 100,
        min_deviation_ticks: 2.0,
    };
    let breakout = RangeBreakoutSettings {
        volume_ratio: 1.5,
        volume_bars: 20,
    };
    Settings {
        revision: "revision-1".into(),
        lateness_us: 2 * SECOND_US,
        dedupe_window_us: 600 * SECOND_US,
        vwap_window_s: 1_800,
        profile_window_s: 1_800,
        range_bar_s: 60,
        range_bars: 20,
        strategies: BTreeMap::from([
            ("range-breakout".into(), StrategySettings::RangeBreakout(breakout)),
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

/// Windows so short that a log of minutes sees everything happen: full windows, signals, outcomes, forgetting.
pub(crate) fn short_settings() -> Settings {
    let reversion = VwapReversionSettings {
        entry_z: 1.2,
        exit_z: 0.5,
        max_z: 4.0,
        min_trades: 10,
        min_deviation_ticks: 2.0,
    };
    let breakout = RangeBreakoutSettings {
        volume_ratio: 1.1,
        volume_bars: 3,
    };
    Settings {
        lateness_us: 3 * SECOND_US,
        dedupe_window_us: 60 * SECOND_US,
        vwap_window_s: 90,
        profile_window_s: 60,
        range_bar_s: 10,
        range_bars: 4,
        strategies: BTreeMap::from([
            ("breakout".into(), StrategySettings::RangeBreakout(breakout)),
            ("reversion".into(), StrategySettings::VwapReversion(reversion)),
        ]),
        horizon_us: 45 * SECOND_US,
        ..settings()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Uniform in 0–1, both excluded.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * libm::log(self.uniform())).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A record that owns its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owned {
    Trade {
        venue: &'static str,
        symbol: &'static str,
        id: u64,
        price: i64,
        quantity: i64,
        bought: bool,
        time_us: i64,
    },
    Tick {
        time_us: i64,
    },
    Gap {
        symbol: &'static str,
        from_us: i64,
        to_us: i64,
    },
}

impl Owned {
    pub(crate) fn record(&self) -> Record<'_> {
        match *self {
            Self::Trade {
                venue,
                symbol,
                id,
                price,
                quantity,
                bought,
                time_us,
            } => Record::Trade(Trade {
                venue,
                symbol,
                trade_id: id,
                price,
                quantity,
                side: if bought { Side::Buy } else { Side::Sell },
                event_time_us: time_us,
                received_time_us: time_us,
            }),
            Self::Tick { time_us } => Record::Tick { event_time_us: time_us },
            Self::Gap { symbol, from_us, to_us } => Record::Gap { symbol, from_us, to_us },
        }
    }

    pub(crate) fn time_us(&self) -> i64 {
        match *self {
            Self::Trade { time_us, .. } | Self::Tick { time_us } => time_us,
            Self::Gap { to_us, .. } => to_us,
        }
    }
}

pub(crate) const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];

/// A lively log: `minutes` of trades of three symbols at two venues, with silences, gaps and off-tick prices.
pub(crate) fn lively_log(seed: u64, minutes: i64) -> Vec<Owned> {
    let mut random = Seeded(seed);
    let mut log = Vec::new();
    let mut levels = [60_000.0, 2_600.0, 0.013];
    let end_us = START_US + minutes * 60 * SECOND_US;
    let (mut time_us, mut id) = (START_US, 1_000);
    while time_us < end_us {
        let pause = if random.below(400) == 0 {
            30 * SECOND_US
        } else {
            600_000
        };
        time_us += i64::try_from(random.below(pause.unsigned_abs())).unwrap();
        let at = usize::try_from(random.below(3)).unwrap();
        levels[at] *= libm::exp(0.000_4 * random.normal());
        id += 1 + random.below(3);
        log.push(Owned::Trade {
            venue: ["binance", "kraken"][usize::from(random.below(5) == 0)],
            symbol: SYMBOLS[at],
            id,
            price: (levels[at] * SCALE as f64) as i64,
            quantity: 1 + (random.uniform() * 2.0 * SCALE as f64) as i64,
            bought: random.below(2) == 0,
            time_us,
        });
        if random.below(150) == 0 {
            log.push(Owned::Gap {
                symbol: SYMBOLS[at],
                from_us: time_us - 5 * SECOND_US,
                to_us: time_us,
            });
        }
    }
    log
}

/// Everything that came of a log.
pub(crate) struct Run {
    pub(crate) state: PartitionState,
    pub(crate) effects: Effects,
    pub(crate) dispositions: Vec<Disposition>,
}

impl Run {
    pub(crate) fn new(settings: &Settings) -> Self {
        let state = PartitionState::new(Arc::new(settings.clone()));
        Self {
            state,
            effects: Effects::default(),
            dispositions: Vec::new(),
        }
    }

    pub(crate) fn of(settings: &Settings, log: &[Owned]) -> Self {
        let mut run = Self::new(settings);
        for record in log {
            run.step(&record.record());
        }
        run
    }

    pub(crate) fn step(&mut self, record: &Record<'_>) {
        let offset = i64::try_from(self.dispositions.len()).unwrap();
        let at = Position {
            offset,
            record_time_us: None,
        };
        self.dispositions.push(self.state.step(record, at, &mut self.effects));
    }

    /// The rows without provenance: what a permuted or repeated log must leave the same.
    pub(crate) fn rows_without_offsets(&self) -> Effects {
        let mut effects = self.effects.clone();
        effects.forecasts.iter_mut().for_each(|forecast| forecast.offset = 0);
        for outcome in &mut effects.outcomes {
            (outcome.offset, outcome.forecast.offset) = (0, 0);
        }
        effects
    }

    /// The views without provenance.
    pub(crate) fn views_without_versions(&self) -> Vec<SymbolView> {
        let mut views = self.state.views();
        for view in &mut views {
            (view.version, view.closed_version) = (0, 0);
        }
        views
    }
}

/// A one-symbol log: one trade every `every_s` seconds at the price that `price` gives, its quantity exponential.
pub(crate) fn series(seconds: i64, every_s: i64, mut price: impl FnMut() -> f64) -> impl Iterator<Item = Owned> {
    let mut quantities = Seeded(99);
    (0..seconds / every_s).map(move |step| Owned::Trade {
        venue: "synthetic",
        symbol: "AAA",
        id: step.unsigned_abs(),
        price: (price() * SCALE as f64) as i64,
        quantity: 1 + (-libm::log(quantities.uniform()) * SCALE as f64) as i64,
        bought: step % 2 == 0,
        time_us: START_US + step * every_s * SECOND_US,
    })
}
