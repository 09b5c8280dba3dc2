//! A price that leaves its range with volume tends on.

use super::{Signal, Strategy};
use crate::indicators::{IndicatorSnapshot, RangeReading, price_as_f64};
use crate::probability::Direction;
use crate::settings::RangeBreakoutSettings;

/// Distance from the range, as a share of its width, that counts as full.
const FULL_DISTANCE: f64 = 0.25;

/// Calls the side on which the slot's price leaves the range of the bars before, if the bar's volume confirms it.
#[derive(Debug, Clone)]
pub struct RangeBreakout {
    name: String,
    settings: RangeBreakoutSettings,
}

impl RangeBreakout {
    /// The strategy under its enabled name.
    #[must_use]
    pub fn new(name: &str, settings: &RangeBreakoutSettings) -> Self {
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
        }
    }

    /// Half for the volume beyond the confirming ratio (full at twice that ratio), half for the distance from the
    /// range (full at a quarter of its width).
    fn strength(&self, range: &RangeReading, volume_ratio: f64, distance: f64) -> f64 {
        let volume = (volume_ratio / self.settings.volume_ratio - 1.0).min(1.0);
        let width = price_as_f64(range.high - range.low);
        let far = if width > 0.0 {
            (distance / (FULL_DISTANCE * width)).min(1.0)
        } else {
            1.0
        };
        f64::midpoint(volume, far)
    }
}

/// The side on which `price` lies outside the range, and how far; `None` inside.
fn side(price: f64, range: &RangeReading) -> Option<(Direction, f64)> {
    let (high, low) = (price_as_f64(range.high), price_as_f64(range.low));
    if price > high {
        Some((Direction::Up, price - high))
    } else if price < low {
        Some((Direction::Down, low - price))
    } else {
        None
    }
}

impl Strategy for RangeBreakout {
    fn name(&self) -> &str {
        &self.name
    }

    /// Confidence is the share of the range's bars that have trades. A bar that broke both sides calls neither.
    fn evaluate(&self, snapshot: &IndicatorSnapshot<'_>) -> Option<Signal> {
        let range = snapshot.range.ok()?;
        let (direction, distance) = side(snapshot.price, &range)?;
        let both_sides = range.bar_high > range.high && range.bar_low < range.low;
        let volume_ratio = snapshot.volume_ratio(self.settings.volume_bars).ok()?;
        if both_sides || volume_ratio < self.settings.volume_ratio {
            return None;
        }
        Some(Signal {
            direction,
            strength: self.strength(&range, volume_ratio, distance),
            confidence: range.filled,
        })
    }

    fn rearms(&self, snapshot: &IndicatorSnapshot<'_>, _horizon_passed: bool) -> bool {
        snapshot.range.is_ok_and(|range| side(snapshot.price, &range).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed_point::SCALE;
    use crate::indicators::{Range, Unavailable};
    use crate::slot::OpenSlot;

    fn strategy() -> RangeBreakout {
        RangeBreakout::new(
            "breakout",
            &RangeBreakoutSettings {
                volume_ratio: 1.5,
                volume_bars: 1,
            },
        )
    }

    /// A bar of quantity 8 from 90 to 110, then one of `quantity` from `low` to `high`.
    fn bars(quantity: i64, low: i64, high: i64) -> Range {
        let mut range = Range::new(60, 1, 1);
        for (second, quantity, low, high) in [(0, 8, 90, 110), (60, quantity, low, high)] {
            let mut slot = OpenSlot::default();
            slot.reset(second);
            slot.add(low * SCALE, quantity * SCALE / 2, true, None);
            slot.add(high * SCALE, quantity * SCALE / 2, true, None);
            range.push(&slot);
        }
        range
    }

    fn at(price: f64, bars: &Range) -> IndicatorSnapshot<'_> {
        IndicatorSnapshot {
            time_us: 0,
            price,
            tick: 0.01,
            high: Err(Unavailable::Warming),
            low: Err(Unavailable::Warming),
            window_trades: 0,
            vwap: Err(Unavailable::Warming),
            anchored_vwap: Err(Unavailable::Warming),
            range: bars.read(),
            bars: Some(bars),
            volatility: Err(Unavailable::Warming),
            profile: None,
        }
    }

    #[test]
    fn leaving_the_range_with_volume_calls_that_side() {
        let up = strategy().evaluate(&at(112.5, &bars(18, 100, 113))).expect("a signal");
        assert_eq!((up.direction, up.strength), (Direction::Up, 0.5));
        let down = strategy().evaluate(&at(85.0, &bars(72, 84, 100))).expect("a signal");
        assert_eq!((down.direction, down.strength), (Direction::Down, 1.0));
    }

    #[test]
    fn the_edge_itself_too_little_volume_and_both_sides_call_nothing() {
        assert_eq!(strategy().evaluate(&at(110.0, &bars(16, 100, 110))), None);
        assert_eq!(strategy().evaluate(&at(112.0, &bars(11, 100, 112))), None);
        assert_eq!(strategy().evaluate(&at(112.0, &bars(16, 89, 112))), None);
    }

    #[test]
    fn it_rearms_inside_the_range_only() {
        assert!(strategy().rearms(&at(100.0, &bars(8, 90, 110)), false));
        assert!(!strategy().rearms(&at(111.0, &bars(8, 90, 111)), true));
    }
}
