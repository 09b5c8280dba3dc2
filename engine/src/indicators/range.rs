//! High and low of the bars before the current one (Donchian channel), with the current bar's volume against theirs.
//!
//! Bars are aligned to multiples of their length. The current bar never belongs to its own range: a price cannot leave
//! a range that it defines.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Reading, Unavailable};
use crate::slot::OpenSlot;

/// One bar with at least one trade; prices and quantity scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Start in bar lengths since the Unix epoch.
    pub index: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Quantity.
    pub quantity: u128,
}

/// The range at a closed slot; prices scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeReading {
    /// Highest price of the bars before.
    pub high: i64,
    /// Lowest price of the bars before.
    pub low: i64,
    /// Highest price of the current bar so far.
    pub bar_high: i64,
    /// Lowest price of the current bar so far.
    pub bar_low: i64,
    /// Share of the bars before that have trades, 0–1.
    pub filled: f64,
}

/// The last bars of a symbol, oldest first, the current one at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    length_s: i64,
    width: u32,
    kept: u32,
    first_second: Option<i64>,
    bars: VecDeque<Bar>,
}

impl Range {
    /// A range of `width` bars of `length_s` seconds, that keeps `kept` bars for the mean volume.
    #[must_use]
    pub fn new(length_s: u32, width: u32, kept: u32) -> Self {
        let kept = kept.max(width);
        Self {
            length_s: i64::from(length_s),
            width,
            kept,
            first_second: None,
            bars: VecDeque::new(),
        }
    }

    /// Takes a closed slot in and lets go of the bars that no later bar looks back on.
    pub fn push(&mut self, slot: &OpenSlot) {
        let index = slot.second.div_euclid(self.length_s);
        self.first_second.get_or_insert(slot.second);
        match self.bars.back_mut().filter(|bar| bar.index == index) {
            Some(bar) => {
                bar.high = bar.high.max(slot.high);
                bar.low = bar.low.min(slot.low);
                bar.quantity += slot.moments.quantity();
            }
            None => self.bars.push_back(Bar {
                index,
                high: slot.high,
                low: slot.low,
                quantity: slot.moments.quantity(),
            }),
        }
        let oldest = index - i64::from(self.kept);
        while self.bars.pop_front_if(|bar| bar.index < oldest).is_some() {}
    }

    /// High and low of the bars before the current one.
    ///
    /// # Errors
    /// Not all of those bars lie behind the symbol's first slot, or none of them has a trade.
    pub fn read(&self) -> Reading<RangeReading> {
        let current = self.current_after(self.width)?;
        let high = self.before(current, self.width).map(|bar| bar.high).max();
        let low = self.before(current, self.width).map(|bar| bar.low).min();
        Ok(RangeReading {
            high: high.ok_or(Unavailable::NoVolume)?,
            low: low.ok_or(Unavailable::NoVolume)?,
            bar_high: current.high,
            bar_low: current.low,
            filled: share(self.before(current, self.width).count(), self.width),
        })
    }

    /// Quantity of the current bar so far over the mean of the `count` bars before; a bar without trades counts as
    /// zero.
    ///
    /// # Errors
    /// Not all of those bars lie behind the symbol's first slot, or none of them has a trade.
    pub fn volume_ratio(&self, count: u32) -> Reading<f64> {
        let current = self.current_after(count)?;
        let volume = self.before(current, count).map(|bar| bar.quantity).sum();
        ratio_to_mean(current.quantity, volume, count)
    }

    /// The current bar, if the `count` bars before it lie behind the symbol's first slot.
    fn current_after(&self, count: u32) -> Reading<&Bar> {
        let (Some(first_second), Some(current)) = (self.first_second, self.bars.back()) else {
            return Err(Unavailable::Warming);
        };
        let from_second = (current.index - i64::from(count)) * self.length_s;
        if first_second > from_second {
            Err(Unavailable::Warming)
        } else {
            Ok(current)
        }
    }

    fn before(&self, current: &Bar, count: u32) -> impl Iterator<Item = &Bar> {
        let from = current.index - i64::from(count);
        self.bars.iter().rev().skip(1).take_while(move |bar| bar.index >= from)
    }
}

/// `quantity` over the mean of `bars` bars that sum to `volume`.
#[allow(clippy::cast_precision_loss, reason = "a ratio of quantities is a float")]
fn ratio_to_mean(quantity: u128, volume: u128, bars: u32) -> Reading<f64> {
    if volume == 0 {
        return Err(Unavailable::NoVolume);
    }
    Ok(quantity as f64 * f64::from(bars) / volume as f64)
}

#[allow(clippy::cast_precision_loss, reason = "bars are few")]
fn share(count: usize, of: u32) -> f64 {
    count as f64 / f64::from(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(range: &mut Range, second: i64, low: i64, high: i64, quantity: i64) {
        let mut slot = OpenSlot::default();
        slot.reset(second);
        slot.add(low, quantity, true, None);
        slot.add(high, quantity, false, None);
        range.push(&slot);
    }

    fn filled() -> Range {
        let mut range = Range::new(60, 3, 3);
        for (second, low, high) in [(0, 90, 100), (60, 95, 110), (130, 97, 103)] {
            push(&mut range, second, low, high, 10);
        }
        range
    }

    #[test]
    fn the_current_bar_does_not_belong_to_its_own_range() {
        let mut range = filled();
        push(&mut range, 180, 80, 200, 20);
        let reading = range.read().expect("three bars have passed");
        assert_eq!((reading.high, reading.low), (110, 90));
        assert_eq!((reading.bar_high, reading.bar_low), (200, 80));
        assert_eq!(range.volume_ratio(3), Ok(2.0));
    }

    #[test]
    fn the_range_is_unknown_until_its_bars_have_passed() {
        let mut range = filled();
        assert_eq!(range.read(), Err(Unavailable::Warming));
        push(&mut range, 180, 99, 99, 1);
        assert!(range.read().is_ok());
        assert_eq!(Range::new(60, 3, 3).read(), Err(Unavailable::Warming));
    }

    #[test]
    fn a_first_bar_that_began_before_the_log_does_not_count() {
        let mut range = Range::new(60, 3, 3);
        for second in [1, 60, 120, 180] {
            push(&mut range, second, 1, 2, 1);
        }
        assert_eq!(range.read(), Err(Unavailable::Warming));
    }

    #[test]
    fn bars_without_trades_pass_like_others() {
        let mut range = filled();
        push(&mut range, 300, 99, 99, 10);
        let reading = range.read().expect("three bars have passed");
        assert_eq!((reading.high, reading.low), (103, 97));
        assert!((reading.filled - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(range.volume_ratio(3), Ok(3.0));
        push(&mut range, 6_000, 99, 99, 10);
        assert_eq!(range.read(), Err(Unavailable::NoVolume));
        assert_eq!(range.bars.len(), 1);
    }
}
