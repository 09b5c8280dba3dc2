//! Seeded synthetic trades: a series whose law is known, to check what the engine makes of it.
//!
//! Time advances in seconds; a symbol's price is constant within one and steps between them. The prices are not those of
//! any market, and nothing about them depends on the clock.

use std::collections::VecDeque;

use assay_engine::Side;
use assay_engine::fixed_point::SCALE;

use super::random::Random;
use super::{FeedRecord, InputError, OwnedTrade, Records};

const SECOND_US: i64 = 1_000_000;
/// Prices are whole cents.
const TICK: i64 = SCALE / 100;
/// Quantities are whole ten-thousandths.
const LOT: i64 = SCALE / 10_000;
/// Relaxation time of the mean-reverting series, seconds.
const RELAXATION_S: f64 = 600.0;
/// Mean length of a regime, seconds.
const REGIME_S: f64 = 7200.0;
/// Standard deviation of a one-second log return.
const VOLATILITY: f64 = 1e-4;

/// The law that a symbol's logarithm of price follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// Gaussian random walk: nothing can be known about the next step.
    Walk,
    /// Ornstein-Uhlenbeck, 600 s relaxation: far from the mean, the way back is likelier.
    Reversion,
    /// Walk, reversion, trend and calm in turn, each for two hours on average.
    Regimes,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// The same seed gives the same trades.
    pub seed: u64,
    /// Symbols, and the law of each one's series.
    pub symbols: Vec<(String, Model)>,
    /// First second, microseconds, a whole one.
    pub start_us: i64,
    /// Length, whole seconds.
    pub seconds: u32,
    /// Mean trades per second and symbol.
    pub rate: f64,
}

impl Synthetic {
    /// The trades in order of time.
    #[must_use]
    pub fn records(self) -> Records {
        let symbols = self
            .symbols
            .iter()
            .map(|(symbol, model)| Series::new(self.seed, *model, symbol))
            .collect();
        Box::new(Generator {
            symbols,
            second: 0,
            seconds: self.seconds,
            rate: self.rate,
            start_us: self.start_us,
            ready: VecDeque::new(),
        })
    }
}

struct Generator {
    symbols: Vec<Series>,
    second: u32,
    seconds: u32,
    rate: f64,
    start_us: i64,
    ready: VecDeque<OwnedTrade>,
}

impl Iterator for Generator {
    type Item = Result<FeedRecord, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.second < self.seconds {
            let start_us = self.start_us + i64::from(self.second) * SECOND_US;
            let mut trades: Vec<_> = self
                .symbols
                .iter_mut()
                .flat_map(|series| series.second(start_us, self.rate))
                .collect();
            trades.sort_by(|a, b| {
                (a.event_time_us, &a.symbol, a.trade_id).cmp(&(b.event_time_us, &b.symbol, b.trade_id))
            });
            self.ready = trades.into();
            self.second += 1;
        }
        self.ready.pop_front().map(|trade| Ok(FeedRecord::Trade(trade)))
    }
}

/// One symbol's price and what it does next.
struct Series {
    symbol: String,
    random: Random,
    law: Law,
    switches: bool,
    base_price: f64,
    /// ln(price / base).
    level: f64,
    /// Where a reverting series reverts to.
    mean: f64,
    next_id: u64,
}

#[derive(Debug, Clone, Copy)]
enum Law {
    Walk,
    Reversion,
    Trend(f64),
    Calm,
}

impl Series {
    fn new(seed: u64, model: Model, symbol: &str) -> Self {
        let mut random = Random::new(seed, symbol);
        let law = if model == Model::Reversion {
            Law::Reversion
        } else {
            Law::Walk
        };
        let base_price = 100.0 * libm::exp(6.0 * random.uniform());
        let switches = model == Model::Regimes;
        Self {
            symbol: symbol.to_owned(),
            random,
            law,
            switches,
            base_price,
            level: 0.0,
            mean: 0.0,
            next_id: 1,
        }
    }

    /// The trades of one second, in order of time.
    fn second(&mut self, start_us: i64, rate: f64) -> Vec<OwnedTrade> {
        self.step();
        let count = self.random.poisson(rate);
        let mut offsets: Vec<i64> = (0..count)
            .map(|_| scaled(self.random.uniform(), SECOND_US - 1))
            .collect();
        offsets.sort_unstable();
        offsets
            .into_iter()
            .map(|offset| self.trade(start_us + offset))
            .collect()
    }

    fn step(&mut self) {
        if self.switches && self.random.uniform() * REGIME_S < 1.0 {
            self.switch();
        }
        let shock = VOLATILITY * self.random.normal();
        self.level += match self.law {
            Law::Walk => shock,
            Law::Reversion => (self.mean - self.level) / RELAXATION_S + shock,
            Law::Trend(drift) => drift + shock,
            Law::Calm => shock / 4.0,
        };
    }

    fn switch(&mut self) {
        self.mean = self.level;
        self.law = match self.random.bits() % 4 {
            0 => Law::Walk,
            1 => Law::Reversion,
            2 => Law::Trend(if self.random.bits().is_multiple_of(2) {
                VOLATILITY / 20.0
            } else {
                -VOLATILITY / 20.0
            }),
            _ => Law::Calm,
        };
    }

    fn trade(&mut self, event_time_us: i64) -> OwnedTrade {
        let trade_id = self.next_id;
        self.next_id += 1;
        let side = if self.random.bits().is_multiple_of(2) {
            Side::Buy
        } else {
            Side::Sell
        };
        OwnedTrade {
            venue: "synthetic".into(),
            symbol: self.symbol.clone(),
            trade_id,
            price: rounded(self.base_price * libm::exp(self.level), TICK),
            quantity: rounded(libm::exp(self.random.normal() - 3.0), LOT),
            side,
            event_time_us,
            received_time_us: event_time_us + 20_000 + scaled(self.random.uniform(), 60_000),
        }
    }
}

/// The nearest positive multiple of `unit` (scaled by 1e-8).
fn rounded(value: f64, unit: i64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and the series stays far from the ends"
    )]
    let units = libm::round(value * f64::from(i32::try_from(SCALE / unit).unwrap_or(1))) as i64;
    units.max(1).saturating_mul(unit)
}

/// A whole number in `0..=most` from a uniform one.
fn scaled(uniform: f64, most: i64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "both lie below 2^53"
    )]
    let value = (uniform * (most + 1) as f64) as i64;
    value
}

#[cfg(test)]
mod tests {
    use assay_engine::fixed_point::Decimal;

    use super::*;
    use crate::ingest::encode::CanonicalJson;

    fn synthetic(model: Model, seconds: u32) -> Synthetic {
        let symbols = vec![("BTCUSDT".to_owned(), model), ("ETHUSDT".to_owned(), model)];
        Synthetic {
            seed: 42,
            symbols,
            start_us: 1_700_000_000_000_000,
            seconds,
            rate: 4.0,
        }
    }

    fn trades(synthetic: Synthetic) -> Vec<OwnedTrade> {
        let trade = |record| match record {
            Ok(FeedRecord::Trade(trade)) => trade,
            other => panic!("{other:?}"),
        };
        synthetic.records().map(trade).collect()
    }

    /// The digest pins the series: a seed named in a report must give the same trades in every release.
    #[test]
    fn a_seed_gives_the_same_bytes_everywhere() {
        let digests = [Model::Walk, Model::Reversion, Model::Regimes].map(|model| {
            let lines: String = trades(synthetic(model, 600))
                .iter()
                .map(|trade| CanonicalJson(&assay_engine::Record::Trade(trade.as_trade())).to_string())
                .collect();
            format!("{:016x}", xxhash_rust::xxh3::xxh3_64(lines.as_bytes()))
        });
        assert_eq!(digests, ["d24964d07f0f8b7e", "1a1b66a85999b58a", "3eb6236463debc9f"]);
    }

    #[test]
    fn trades_come_in_order_of_time_with_dense_ids_at_the_wanted_rate() {
        let trades = trades(synthetic(Model::Regimes, 3600));
        assert!(
            trades
                .windows(2)
                .all(|pair| pair[0].event_time_us <= pair[1].event_time_us)
        );
        let ids: Vec<_> = trades
            .iter()
            .filter(|trade| trade.symbol == "ETHUSDT")
            .map(|trade| trade.trade_id)
            .collect();
        assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
        assert!((27_000..31_000).contains(&trades.len()), "{}", trades.len());
    }

    #[test]
    fn a_symbols_series_does_not_depend_on_the_others() {
        let alone = Synthetic {
            symbols: vec![("ETHUSDT".into(), Model::Walk)],
            ..synthetic(Model::Walk, 60)
        };
        let both: Vec<_> = trades(synthetic(Model::Walk, 60))
            .into_iter()
            .filter(|trade| trade.symbol == "ETHUSDT")
            .collect();
        assert_eq!(trades(alone), both);
    }

    #[test]
    fn the_reverting_series_stays_near_its_mean_and_the_walk_does_not() {
        let spread = |model| {
            let trades = trades(Synthetic {
                rate: 1.0,
                ..synthetic(model, 100_000)
            });
            let prices: Vec<_> = trades
                .iter()
                .filter(|trade| trade.symbol == "BTCUSDT")
                .map(|trade| trade.price)
                .collect();
            let (low, high) = (*prices.iter().min().unwrap(), *prices.iter().max().unwrap());
            Decimal(high - low).to_string().parse::<f64>().unwrap() / Decimal(low).to_string().parse::<f64>().unwrap()
        };
        // The stationary deviation is VOLATILITY × sqrt(RELAXATION_S / 2) = 0.17 %; the walk's after a day is 3 %.
        assert!(spread(Model::Reversion) < 0.02);
        assert!(spread(Model::Walk) > 0.02);
    }
}
