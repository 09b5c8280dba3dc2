//! A price far from its VWAP tends back.

use super::{Signal, Strategy};
use crate::indicators::IndicatorSnapshot;
use crate::probability::Direction;
use crate::settings::VwapReversionSettings;

/// Calls the side of the VWAP when |z| reaches `entry_z`.
#[derive(Debug, Clone)]
pub struct VwapReversion {
    name: String,
    settings: VwapReversionSettings,
}

impl VwapReversion {
    /// The strategy under its enabled name.
    #[must_use]
    pub fn new(name: &str, settings: &VwapReversionSettings) -> Self {
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
        }
    }

    fn z(&self, snapshot: &IndicatorSnapshot<'_>) -> Option<f64> {
        let reading = snapshot.vwap.ok()?;
        let ticks = reading.standard_deviation / snapshot.tick;
        let enough = snapshot.window_trades >= self.settings.min_trades && ticks >= self.settings.min_deviation_ticks;
        reading.z.ok().filter(|_| enough)
    }
}

impl Strategy for VwapReversion {
    fn name(&self) -> &str {
        &self.name
    }

    /// Strength min((|z| − entry) / (max − entry), 1); confidence grows with the trades in the window and is 1 at four
    /// times the least number.
    fn evaluate(&self, snapshot: &IndicatorSnapshot<'_>) -> Option<Signal> {
        let z = self.z(snapshot)?;
        let beyond = z.abs() - self.settings.entry_z;
        if beyond < 0.0 {
            return None;
        }
        Some(Signal {
            direction: if z > 0.0 { Direction::Down } else { Direction::Up },
            strength: (beyond / (self.settings.max_z - self.settings.entry_z)).min(1.0),
            confidence: share_of_plenty(snapshot.window_trades, self.settings.min_trades),
        })
    }

    fn rearms(&self, snapshot: &IndicatorSnapshot<'_>, horizon_passed: bool) -> bool {
        horizon_passed || self.z(snapshot).is_some_and(|z| z.abs() < self.settings.exit_z)
    }
}

/// `trades` over four times the `least` number, at most 1.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn share_of_plenty(trades: u64, least: u64) -> f64 {
    (trades as f64 / (4.0 * least.max(1) as f64)).min(1.0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::indicators::{Unavailable, VwapReading};

    const SETTINGS: VwapReversionSettings = VwapReversionSettings {
        entry_z: 2.0,
        exit_z: 0.5,
        max_z: 4.0,
        min_trades: 100,
        min_deviation_ticks: 2.0,
    };

    fn strategy() -> VwapReversion {
        VwapReversion::new("reversion", &SETTINGS)
    }

    fn at(z: f64, trades: u64, deviation_ticks: f64) -> IndicatorSnapshot<'static> {
        let reading = VwapReading {
            vwap: 100.0,
            standard_deviation: 0.01 * deviation_ticks,
            z: Ok(z),
        };
        IndicatorSnapshot {
            time_us: 0,
            price: 100.0,
            tick: 0.01,
            high: Err(Unavailable::Warming),
            low: Err(Unavailable::Warming),
            window_trades: trades,
            vwap: Ok(reading),
            anchored_vwap: Err(Unavailable::Warming),
            range: Err(Unavailable::Warming),
            bars: None,
            volatility: Err(Unavailable::Warming),
            profile: None,
        }
    }

    #[rstest]
    #[case::below_the_threshold(1.999, None)]
    #[case::at_the_threshold(2.0, Some((Direction::Down, 0.0)))]
    #[case::halfway(-3.0, Some((Direction::Up, 0.5)))]
    #[case::beyond_full_strength(9.0, Some((Direction::Down, 1.0)))]
    fn the_call_is_against_the_distance(#[case] z: f64, #[case] expected: Option<(Direction, f64)>) {
        let signal = strategy().evaluate(&at(z, 400, 5.0));
        assert_eq!(signal.map(|signal| (signal.direction, signal.strength)), expected);
    }

    #[test]
    fn few_trades_or_a_narrow_price_give_no_call() {
        assert_eq!(strategy().evaluate(&at(3.0, 99, 5.0)), None);
        assert_eq!(strategy().evaluate(&at(3.0, 100, 1.9)), None);
        assert!(
            strategy()
                .evaluate(&at(3.0, 100, 2.0))
                .is_some_and(|signal| signal.confidence < 0.26)
        );
    }

    #[test]
    fn it_rearms_near_the_average_or_after_the_horizon() {
        assert!(strategy().rearms(&at(-0.49, 100, 5.0), false));
        assert!(!strategy().rearms(&at(0.5, 100, 5.0), false));
        assert!(strategy().rearms(&at(3.0, 100, 5.0), true));
    }
}
