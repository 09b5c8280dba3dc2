//! A forecast as frozen at its emission: everything its outcome will be judged by and everything a reader needs to
//! understand the probability. Nothing in it changes afterwards.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::Verdict;
use crate::effects::{Forecast, Outcome};
use crate::probability::{Bucket, Direction, Distribution, Level};

/// Who called a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Origin {
    /// A strategy.
    Strategy {
        /// Its place among the enabled strategies, by name.
        index: usize,
        /// Strength bucket of the signal.
        bucket: Bucket,
        /// Confidence in the data, 0–1.
        confidence: f64,
    },
    /// The pool of the strategies active at that instant.
    Pooled,
}

impl Origin {
    /// The strategy's place among the enabled ones; `None` for the pool.
    #[must_use]
    pub const fn strategy(&self) -> Option<usize> {
        match self {
            Self::Strategy { index, .. } => Some(*index),
            Self::Pooled => None,
        }
    }
}

/// Where, when and what is called.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastKey {
    /// `t0`: end of the slot that fired, microseconds.
    pub emitted_at_us: i64,
    /// Horizon, microseconds.
    pub horizon_us: i64,
    /// The side called.
    pub direction: Direction,
    /// VWAP of the slot that fired.
    pub price: f64,
    /// θ: the log return that decides, above zero.
    pub threshold: f64,
    /// Offset of the record whose arrival closed the slot.
    pub offset: i64,
}

/// A forecast and all that was known when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrozenForecast {
    /// See [`forecast_id`].
    pub id: u128,
    /// Who called it.
    pub origin: Origin,
    /// Where, when and what is called.
    pub key: ForecastKey,
    /// Probability per label.
    pub probabilities: Distribution,
    /// Base rate per label.
    pub base_rates: Distribution,
    /// Decayed number of comparable past cases; of a pooled forecast the smallest of its strategies.
    pub cases: f64,
    /// Bounds of the 90 % interval of the probability of the side called.
    pub interval: (f64, f64),
    /// Confidence level.
    pub level: Level,
    /// Another forecast of the same (strategy, symbol, horizon) was open: stored, never judged.
    pub overlapping: bool,
    /// What led to the probability, as canonical JSON.
    pub inputs: String,
}

impl FrozenForecast {
    /// When its outcome is due: `t0 + H`, microseconds.
    #[must_use]
    pub fn due_us(&self) -> i64 {
        self.key.emitted_at_us + self.key.horizon_us
    }

    /// Probability of the side called.
    #[must_use]
    pub fn probability(&self) -> f64 {
        self.probabilities.get(self.key.direction.label())
    }

    /// Base rate of the side called.
    #[must_use]
    pub fn base_rate(&self) -> f64 {
        self.base_rates.get(self.key.direction.label())
    }

    /// Probability over base rate: 1 where the call adds nothing.
    #[must_use]
    pub fn lift(&self) -> f64 {
        self.probability() / self.base_rate()
    }

    /// The row of `forecasts`.
    #[must_use]
    pub fn row(&self, symbol: &str, strategy: &str) -> Forecast {
        Forecast {
            id: format!("{:032x}", self.id),
            symbol: symbol.to_owned(),
            strategy: strategy.to_owned(),
            emitted_at_us: self.key.emitted_at_us,
            horizon_us: self.key.horizon_us,
            direction: self.key.direction.sign(),
            probability: self.probability(),
            confidence: self.level.as_str(),
            base_rate: self.base_rate(),
            overlapping: self.overlapping,
            inputs: self.inputs.clone(),
            offset: self.key.offset,
        }
    }

    /// The row of `strategy_results`; `offset` is that of the record whose arrival made it due.
    #[must_use]
    pub fn outcome(&self, symbol: &str, strategy: &str, verdict: &Verdict, offset: i64) -> Outcome {
        let (void_reason, log_return) = match verdict {
            Verdict::Judged { log_return, .. } => ("", *log_return),
            Verdict::Void(reason) => (reason.as_str(), 0.0),
        };
        Outcome {
            forecast: self.row(symbol, strategy),
            kind: verdict.kind(self.key.direction),
            void_reason,
            evaluated_at_us: self.due_us(),
            log_return,
            offset,
        }
    }
}

/// The id of a forecast: xxh3-128 over (revision, symbol, strategy, horizon, t0).
///
/// Texts go in as UTF-8 behind their length (u32), numbers as i64 in microseconds, all little-endian, so that no two
/// different tuples give the same bytes.
#[must_use]
pub fn forecast_id(revision: &str, symbol: &str, strategy: &str, horizon_us: i64, emitted_at_us: i64) -> u128 {
    let mut bytes = Vec::with_capacity(28 + revision.len() + symbol.len() + strategy.len());
    for text in [revision, symbol, strategy] {
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(horizon_us.to_le_bytes());
    bytes.extend(emitted_at_us.to_le_bytes());
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        assert_ne!(forecast_id("a", "bc", "d", 1, 2), forecast_id("ab", "c", "d", 1, 2));
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let id = forecast_id("rev", "BTCUSDT", "vwap-reversion", 300, 7);
        assert_eq!(id, forecast_id("rev", "BTCUSDT", "vwap-reversion", 300, 7));
        for other in [
            forecast_id("rev2", "BTCUSDT", "vwap-reversion", 300, 7),
            forecast_id("rev", "ETHUSDT", "vwap-reversion", 300, 7),
            forecast_id("rev", "BTCUSDT", "pooled", 300, 7),
            forecast_id("rev", "BTCUSDT", "vwap-reversion", 301, 7),
            forecast_id("rev", "BTCUSDT", "vwap-reversion", 300, 8),
        ] {
            assert_ne!(id, other);
        }
    }
}
