//! Exact sums over trades, from which VWAP and standard deviation follow.
//!
//! Prices and quantities stay integers in 1e-8 and the sums are taken of the prices themselves, not of distances from
//! a reference: so no order of arrival, no off-tick price and no bogus first price can cost a digit.

use serde::{Deserialize, Serialize};

use super::{Reading, Unavailable};
use crate::fixed_point::SCALE;
use crate::ratio;
use crate::wide::U256;

/// Largest price × quantity of one trade (scaled by 1e-16; 1.27e14 units of the quote asset). With it the sums below
/// hold 2^28 trades of that size.
pub const NOTIONAL_LIMIT: u128 = 1 << 100;

/// Sums over trades; `q` quantity and `p` price, both scaled by 1e-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Trades.
    pub trades: u64,
    /// Σ q where the taker bought.
    pub bought: u128,
    /// Σ q where the taker sold.
    pub sold: u128,
    /// Σ q·p.
    pub first: u128,
    /// Σ q·p².
    pub second: U256,
}

impl Moments {
    /// Adds a trade; price and quantity are above zero and their product below [`NOTIONAL_LIMIT`].
    pub fn add_trade(&mut self, price: i64, quantity: i64, bought: bool) {
        let (price, quantity) = (u128::from(price.unsigned_abs()), u128::from(quantity.unsigned_abs()));
        let notional = price * quantity;
        self.trades += 1;
        *(if bought { &mut self.bought } else { &mut self.sold }) += quantity;
        self.first += notional;
        self.second = self.second + U256::product(notional, price);
    }

    /// Adds other trades.
    pub fn add(&mut self, other: &Self) {
        self.trades += other.trades;
        self.bought += other.bought;
        self.sold += other.sold;
        self.first += other.first;
        self.second = self.second + other.second;
    }

    /// Takes out trades that were added.
    pub fn subtract(&mut self, other: &Self) {
        self.trades -= other.trades;
        self.bought -= other.bought;
        self.sold -= other.sold;
        self.first -= other.first;
        self.second = self.second - other.second;
    }

    /// Total quantity, scaled by 1e-8.
    #[must_use]
    pub const fn quantity(&self) -> u128 {
        self.bought + self.sold
    }

    /// Volume-weighted average price, Σ q·p / Σ q, in units of the quote asset.
    ///
    /// # Errors
    /// Nothing was traded.
    #[allow(clippy::cast_precision_loss, reason = "exact sums become a float here, once")]
    pub fn vwap(&self) -> Reading<f64> {
        match self.quantity() {
            0 => Err(Unavailable::NoVolume),
            quantity => Ok(self.first as f64 / quantity as f64 / SCALE as f64),
        }
    }

    /// Volume-weighted standard deviation of the price, in units of the quote asset: √(Σq·Σq·p² − (Σq·p)²) / Σq.
    /// The radicand is exact, so nothing cancels.
    ///
    /// # Errors
    /// Nothing was traded, or the radicand needs more than 256 bits.
    #[allow(clippy::cast_precision_loss, reason = "exact sums become a float here, once")]
    pub fn standard_deviation(&self) -> Reading<f64> {
        let quantity = self.quantity();
        if quantity == 0 {
            return Err(Unavailable::NoVolume);
        }
        let radicand = self.radicand().ok_or(Unavailable::Overflow)?;
        Ok(radicand.to_f64().sqrt() / quantity as f64 / SCALE as f64)
    }

    /// Σq·Σq·p² − (Σq·p)², which is never below zero (Cauchy and Schwarz).
    fn radicand(&self) -> Option<U256> {
        self.second
            .checked_mul(self.quantity())?
            .checked_sub(U256::product(self.first, self.first))
    }

    /// VWAP as decimal text with `digits` digits behind the point; `None` without trades or beyond 128 bits.
    #[must_use]
    pub fn vwap_text(&self, digits: u32) -> Option<String> {
        let scaled_quantity = self.quantity().checked_mul(u128::from(SCALE.unsigned_abs()))?;
        ratio::quotient(self.first.try_into().ok()?, scaled_quantity.try_into().ok()?, digits)
    }

    /// Standard deviation as decimal text with `digits` digits behind the point; `None` without trades or beyond 256
    /// bits.
    #[must_use]
    pub fn standard_deviation_text(&self, digits: u32) -> Option<String> {
        let scaled_quantity = self.quantity().checked_mul(u128::from(SCALE.unsigned_abs()))?;
        ratio::root_quotient(self.radicand()?, scaled_quantity, digits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(trades: &[(i64, i64)]) -> Moments {
        let mut sums = Moments::default();
        for (price, quantity) in trades {
            sums.add_trade(price * SCALE, quantity * SCALE, true);
        }
        sums
    }

    #[test]
    fn two_trades_give_the_figures_computed_by_hand() {
        let sums = moments(&[(10, 3), (20, 1)]);
        assert_eq!(sums.vwap(), Ok(12.5));
        assert_eq!(sums.vwap_text(3).as_deref(), Some("12.500"));
        assert_eq!(sums.standard_deviation_text(6).as_deref(), Some("4.330127"));
        assert_eq!(sums.standard_deviation(), Ok(18.75_f64.sqrt()));
    }

    #[test]
    fn nothing_traded_has_no_average() {
        assert_eq!(Moments::default().vwap(), Err(Unavailable::NoVolume));
        assert_eq!(Moments::default().standard_deviation(), Err(Unavailable::NoVolume));
        assert_eq!(Moments::default().vwap_text(2), None);
    }

    #[test]
    fn a_narrow_spread_at_a_large_price_loses_no_digit() {
        let mut sums = Moments::default();
        let price = 1_600_000_000 * SCALE;
        sums.add_trade(price, SCALE, true);
        sums.add_trade(price + 2, SCALE, false);
        assert_eq!(sums.standard_deviation_text(8).as_deref(), Some("0.00000001"));
        assert!(
            sums.standard_deviation()
                .is_ok_and(|deviation| (deviation - 1e-8).abs() < 1e-20)
        );
    }

    proptest! {
        #[test]
        fn what_is_subtracted_leaves_no_trace(
            kept in prop::collection::vec((1..i64::MAX >> 14, 1..i64::MAX >> 14), 0..20),
            gone in prop::collection::vec((1..i64::MAX >> 14, 1..i64::MAX >> 14), 0..20),
        ) {
            let sum = |trades: &[(i64, i64)]| {
                let mut sums = Moments::default();
                for (price, quantity) in trades {
                    sums.add_trade(*price, *quantity, price % 2 == 0);
                }
                sums
            };
            let mut all = sum(&kept);
            all.add(&sum(&gone));
            all.subtract(&sum(&gone));
            prop_assert_eq!(all, sum(&kept));
        }
    }
}
