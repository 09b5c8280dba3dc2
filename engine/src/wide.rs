//! Unsigned 256-bit integers for sums of `quantity × price²`, which no 128-bit integer holds for every instrument.
//!
//! Only the few operations that exact moments need; the sums behave as native integers, the others say where they overflow.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An unsigned 256-bit integer: `high × 2^128 + low`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct U256 {
    high: u128,
    low: u128,
}

const LOW_64: u128 = u64::MAX as u128;

impl U256 {
    /// Zero.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// `high × 2^128 + low`.
    #[must_use]
    pub const fn from_halves(high: u128, low: u128) -> Self {
        Self { high, low }
    }

    /// The upper and the lower 128 bits.
    #[must_use]
    pub const fn halves(self) -> (u128, u128) {
        (self.high, self.low)
    }

    /// The full product of two 128-bit integers (schoolbook multiplication in 64-bit limbs).
    #[must_use]
    pub const fn product(a: u128, b: u128) -> Self {
        let (a1, a0) = (a >> 64, a & LOW_64);
        let (b1, b0) = (b >> 64, b & LOW_64);
        let low = a0 * b0;
        let middle = a1 * b0 + (low >> 64);
        let other = a0 * b1 + (middle & LOW_64);
        let high = a1 * b1 + (middle >> 64) + (other >> 64);
        Self {
            high,
            low: (other << 64) | (low & LOW_64),
        }
    }

    /// The difference; `None` where it is below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let Some(high) = self.high.checked_sub(other.high) else {
            return None;
        };
        match high.checked_sub(borrow as u128) {
            Some(high) => Some(Self { high, low }),
            None => None,
        }
    }

    /// The product with a 128-bit integer; `None` where it does not fit.
    #[must_use]
    pub const fn checked_mul(self, factor: u128) -> Option<Self> {
        let low = Self::product(self.low, factor);
        let Some(high) = self.high.checked_mul(factor) else {
            return None;
        };
        match low.high.checked_add(high) {
            Some(high) => Some(Self { high, low: low.low }),
            None => None,
        }
    }

    /// The nearest float, up to two roundings.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the rounding is what this does")]
    pub fn to_f64(self) -> f64 {
        const TWO_POW_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
        self.high as f64 * TWO_POW_128 + self.low as f64
    }

    /// The integer square root, rounded down: bit by bit from the top.
    #[must_use]
    pub fn square_root(self) -> u128 {
        let mut root = 0_u128;
        for bit in (0..128).rev() {
            let candidate = root | (1 << bit);
            if Self::product(candidate, candidate) <= self {
                root = candidate;
            }
        }
        root
    }
}

/// Overflows as native integers do: this crate is built with overflow checks in every profile.
impl Add for U256 {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self {
            high: self.high + other.high + u128::from(carry),
            low,
        }
    }
}

/// Overflows as native integers do: this crate is built with overflow checks in every profile.
impl Sub for U256 {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self {
            high: self.high - other.high - u128::from(borrow),
            low,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_product_has_the_known_halves() {
        assert_eq!(U256::product(u128::MAX, u128::MAX), U256::from_halves(u128::MAX - 1, 1));
        assert_eq!(U256::product(u128::MAX, u128::MAX).square_root(), u128::MAX);
    }

    #[test]
    fn overflow_is_told_and_never_wraps() {
        let top = U256::from_halves(u128::MAX, u128::MAX);
        assert!(std::panic::catch_unwind(|| top + U256::from_halves(0, 1)).is_err());
        assert_eq!(U256::ZERO.checked_sub(U256::from_halves(0, 1)), None);
        assert_eq!(top.checked_mul(2), None);
        assert_eq!(
            U256::from_halves(1, 0).checked_mul(u128::MAX),
            Some(U256::from_halves(u128::MAX, 0))
        );
    }

    proptest! {
        #[test]
        fn small_numbers_agree_with_native_arithmetic(a in any::<u64>(), b in any::<u64>()) {
            let (a, b) = (u128::from(a), u128::from(b));
            prop_assert_eq!(U256::product(a, b).halves(), (0, a * b));
            let root = U256::product(a, b).square_root();
            prop_assert!(root * root <= a * b && (root + 1).checked_mul(root + 1).is_none_or(|next| next > a * b));
        }

        #[test]
        fn multiplication_distributes_over_addition(a in any::<u128>(), b in any::<u128>(), c in any::<u64>()) {
            let (a, b, c) = (a >> 1, b >> 1, u128::from(c));
            let apart = U256::product(a, c) + U256::product(b, c);
            prop_assert_eq!(apart, U256::product(a + b, c));
            prop_assert_eq!(apart - U256::product(b, c), U256::product(a, c));
            prop_assert_eq!(apart.checked_sub(U256::product(b, c)), Some(U256::product(a, c)));
        }
    }
}
