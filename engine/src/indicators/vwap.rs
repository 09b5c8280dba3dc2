//! Volume-weighted average price with its standard deviation: over a rolling window, and since 00:00 UTC.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Moments, Reading, Unavailable, price_as_f64};
use crate::closed_seconds::{ClosedSeconds, FrameReader, FrameWriter};
use crate::slot::OpenSlot;
use crate::wide::U256;

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// VWAP as strategies see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VwapReading {
    /// The average, in units of the quote asset.
    pub vwap: f64,
    /// Volume-weighted standard deviation, in units of the quote asset.
    pub standard_deviation: f64,
    /// (slot's own VWAP − VWAP) / standard deviation.
    pub z: Reading<f64>,
}

impl VwapReading {
    /// The reading at a slot's own VWAP `price`. Below a standard deviation of one tick there is no z: dividing by it
    /// would turn the bounce between bid and ask into large values.
    ///
    /// # Errors
    /// Nothing was traded in the window.
    pub fn at(moments: &Moments, price: f64, tick: i64) -> Reading<Self> {
        let (vwap, standard_deviation) = (moments.vwap()?, moments.standard_deviation()?);
        let z = if standard_deviation < price_as_f64(tick) {
            Err(Unavailable::NoMovement)
        } else {
            Ok(0.0 + (price - vwap) / standard_deviation)
        };
        Ok(Self {
            vwap,
            standard_deviation,
            z,
        })
    }
}

/// Sums and extremes over the last W seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingVwap {
    /// Sums over the window.
    pub moments: Moments,
    highs: VecDeque<(i64, i64)>,
    lows: VecDeque<(i64, i64)>,
}

impl RollingVwap {
    /// Highest price in the window, scaled by 1e-8.
    #[must_use]
    pub fn high(&self) -> Option<i64> {
        self.highs.front().map(|(_, price)| *price)
    }

    /// Lowest price in the window, scaled by 1e-8.
    #[must_use]
    pub fn low(&self) -> Option<i64> {
        self.lows.front().map(|(_, price)| *price)
    }

    /// Takes a closed slot in.
    pub(crate) fn push(&mut self, slot: &OpenSlot, frame: &mut FrameWriter, window: &mut ClosedSeconds) {
        frame.begin(slot.second);
        write_moments(frame, &slot.moments);
        frame.put(u128::from(slot.low.unsigned_abs()));
        frame.put(u128::from((slot.high - slot.low).unsigned_abs()));
        window.push(frame);
        self.enter(slot.second, &slot.moments, slot.low, slot.high);
    }

    /// Keeps, of each kind, only the extremes that later seconds have not surpassed (a monotonic queue).
    fn enter(&mut self, second: i64, moments: &Moments, low: i64, high: i64) {
        self.moments.add(moments);
        while self.highs.back().is_some_and(|(_, price)| *price <= high) {
            self.highs.pop_back();
        }
        self.highs.push_back((second, high));
        while self.lows.back().is_some_and(|(_, price)| *price >= low) {
            self.lows.pop_back();
        }
        self.lows.push_back((second, low));
    }

    /// Lets the seconds go that leave the window at or before `now_us`; tells when the last of them left.
    pub(crate) fn expire(&mut self, window: &mut ClosedSeconds, now_us: i64) -> Option<i64> {
        let left = window.expire(now_us, |fields| {
            if let Some(moments) = read_moments(fields) {
                self.moments.subtract(&moments);
            }
        })?;
        let kept_from = window.first_second().unwrap_or(i64::MAX);
        while self.highs.pop_front_if(|(second, _)| *second < kept_from).is_some() {}
        while self.lows.pop_front_if(|(second, _)| *second < kept_from).is_some() {}
        Some(left)
    }

    /// The same sums and extremes, recomputed from the window.
    pub(crate) fn from_window(window: &ClosedSeconds) -> Self {
        let mut rebuilt = Self::default();
        window.for_each(|second, fields| {
            if let Some((moments, low, high)) = read_slot(fields) {
                rebuilt.enter(second, &moments, low, high);
            }
        });
        rebuilt
    }
}

fn write_moments(frame: &mut FrameWriter, moments: &Moments) {
    let (second_high, second_low) = moments.second.halves();
    frame.put(u128::from(moments.trades));
    for field in [moments.bought, moments.sold, moments.first, second_low, second_high] {
        frame.put(field);
    }
}

fn read_moments(fields: &mut FrameReader<'_>) -> Option<Moments> {
    let trades = fields.take_u64()?;
    let (bought, sold, first) = (fields.take()?, fields.take()?, fields.take()?);
    let (second_low, second_high) = (fields.take()?, fields.take()?);
    Some(Moments {
        trades,
        bought,
        sold,
        first,
        second: U256::from_halves(second_high, second_low),
    })
}

/// The fields of a frame: sums, low and high; `None` where it is malformed.
pub(crate) fn read_slot(fields: &mut FrameReader<'_>) -> Option<(Moments, i64, i64)> {
    let moments = read_moments(fields)?;
    let low = fields.take_i64()?;
    let high = low.checked_add(fields.take_i64()?)?;
    Some((moments, low, high))
}

/// Sums since 00:00 UTC of event time.
///
/// The day in which a symbol's first slot closed is incomplete, so its sums are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredVwap {
    day: Option<i64>,
    complete: bool,
    moments: Moments,
}

impl AnchoredVwap {
    /// Takes a closed slot in.
    pub fn push(&mut self, second: i64, moments: &Moments) {
        let day = second.div_euclid(DAY_S);
        if self.day != Some(day) {
            *self = Self {
                complete: self.day.is_some(),
                day: Some(day),
                moments: Moments::default(),
            };
        }
        self.moments.add(moments);
    }

    /// Sums since the last boundary.
    ///
    /// # Errors
    /// No boundary lies between the symbol's first slot and now.
    pub fn moments(&self) -> Reading<&Moments> {
        if self.complete {
            Ok(&self.moments)
        } else {
            Err(Unavailable::Warming)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed_point::SCALE;
    use crate::watermark::MICROS_PER_SECOND;

    fn slot(second: i64, trades: &[(i64, i64)]) -> OpenSlot {
        let mut slot = OpenSlot::default();
        slot.reset(second);
        for (price, quantity) in trades {
            slot.add(price * SCALE, quantity * SCALE, true, None);
        }
        slot
    }

    #[test]
    fn the_window_holds_exactly_the_seconds_inside() {
        let mut window = ClosedSeconds::new(10 * MICROS_PER_SECOND, 0);
        let (mut rolling, mut frame) = (RollingVwap::default(), FrameWriter::default());
        for (second, price) in [(0, 30), (1, 10), (5, 20), (9, 25)] {
            rolling.push(&slot(second, &[(price, 1)]), &mut frame, &mut window);
        }
        assert_eq!((rolling.high(), rolling.low()), (Some(30 * SCALE), Some(10 * SCALE)));
        for (now_s, high, low, trades) in [(11, 25, 10, 3), (12, 25, 20, 2), (16, 25, 25, 1)] {
            rolling.expire(&mut window, now_s * MICROS_PER_SECOND);
            assert_eq!(
                (rolling.high(), rolling.low()),
                (Some(high * SCALE), Some(low * SCALE)),
                "at {now_s} s"
            );
            assert_eq!(rolling.moments.trades, trades, "at {now_s} s");
            assert_eq!(RollingVwap::from_window(&window), rolling);
        }
        rolling.expire(&mut window, i64::MAX);
        assert_eq!(rolling, RollingVwap::default());
    }

    #[test]
    fn there_is_no_z_below_a_standard_deviation_of_one_tick() {
        let moments = slot(0, &[(10, 1), (12, 1)]).moments;
        let reading = |tick| VwapReading::at(&moments, 13.0, tick).map(|reading| reading.z);
        assert_eq!(reading(SCALE), Ok(Ok(2.0)));
        assert_eq!(reading(SCALE + 1), Ok(Err(Unavailable::NoMovement)));
        assert_eq!(VwapReading::at(&Moments::default(), 1.0, 1), Err(Unavailable::NoVolume));
    }

    #[test]
    fn the_anchored_average_waits_for_its_first_midnight() {
        let mut anchored = AnchoredVwap::default();
        let moments = slot(0, &[(10, 1)]).moments;
        anchored.push(DAY_S - 1, &moments);
        assert_eq!(anchored.moments(), Err(Unavailable::Warming));
        anchored.push(DAY_S, &moments);
        anchored.push(DAY_S + 1, &moments);
        assert_eq!(anchored.moments().map(|sums| sums.trades), Ok(2));
        anchored.push(2 * DAY_S, &moments);
        assert_eq!(anchored.moments().map(|sums| sums.trades), Ok(1));
    }
}
