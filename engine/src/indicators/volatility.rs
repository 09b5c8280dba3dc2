//! Volatility: exponentially weighted mean of squared 60-second log returns (RiskMetrics Technical Document, 1996).

use serde::{Deserialize, Serialize};

use super::{Reading, Unavailable};

/// Weight of the past in each update; RiskMetrics' daily value.
const DECAY: f64 = 0.94;

/// Returns needed before a volatility is told.
const LEAST_RETURNS: u32 = 10;

/// Mean of squared returns between neighbouring grid instants that both have a fresh price.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Volatility {
    previous: Option<(i64, f64)>,
    returns: u32,
    variance: f64,
}

impl Volatility {
    /// Takes the price of a grid instant in; instants come in order.
    ///
    /// The first returns are averaged with equal weights, so that none of them dominates until the decay takes over.
    pub fn observe(&mut self, at_us: i64, price: f64, grid_us: i64) {
        let previous = self.previous.replace((at_us, price));
        let Some((_, before)) = previous.filter(|(before_us, _)| at_us - before_us == grid_us) else {
            return;
        };
        let log_return = libm::log(price / before);
        self.returns = self.returns.saturating_add(1);
        let weight = (1.0 - DECAY).max(1.0 / f64::from(self.returns));
        self.variance += weight * (log_return * log_return - self.variance);
    }

    /// σ: standard deviation of a 60-second log return.
    ///
    /// # Errors
    /// Too few returns, or no movement in any of them.
    pub fn read(&self) -> Reading<f64> {
        if self.returns < LEAST_RETURNS {
            return Err(Unavailable::Warming);
        }
        if self.variance <= 0.0 {
            return Err(Unavailable::NoMovement);
        }
        Ok(self.variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID_US: i64 = 60_000_000;

    fn observed(prices: &[f64]) -> Volatility {
        let mut volatility = Volatility::default();
        for (at_us, price) in (0..).step_by(60_000_000).zip(prices) {
            volatility.observe(at_us, *price, GRID_US);
        }
        volatility
    }

    #[test]
    fn equal_returns_give_their_own_size() {
        let prices: Vec<f64> = (0..30).map(|step| if step % 2 == 0 { 100.0 } else { 101.0 }).collect();
        let sigma = observed(&prices).read().expect("enough returns");
        assert!((sigma - 0.009_950_330_853_168_083).abs() < 1e-15);
    }

    #[test]
    fn a_late_return_weighs_six_hundredths() {
        let mut prices = vec![100.0; 60];
        prices.push(110.0);
        let sigma = observed(&prices).read().expect("enough returns");
        let log_return = libm::log(1.1);
        assert!((sigma - (0.06 * log_return * log_return).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_told_too_early_or_without_movement() {
        assert_eq!(observed(&[100.0; 10]).read(), Err(Unavailable::Warming));
        assert_eq!(observed(&[100.0; 11]).read(), Err(Unavailable::NoMovement));
    }

    #[test]
    fn a_return_over_a_missing_instant_is_left_out() {
        let mut volatility = observed(&[100.0; 11]);
        volatility.observe(13 * GRID_US, 200.0, GRID_US);
        assert_eq!(volatility.read(), Err(Unavailable::NoMovement));
    }
}
