//! Maps values to pixels, and chooses round numbers for axes.

use jiff::Timestamp;

/// Steps of a time axis, seconds.
const TIME_STEPS_S: [i64; 14] = [
    1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200,
];

/// A day, microseconds.
const DAY_US: i64 = 86_400 * 1_000_000;

/// A linear map from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Maps `from.0` to `to.0` and `from.1` to `to.1`. An empty range of values is widened.
    pub(super) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        let widened = if from.1 > from.0 {
            from
        } else {
            (from.0 - 1.0, from.0 + 1.0)
        };
        Self { from: widened, to }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.to.0 + (value - self.from.0) / (self.from.1 - self.from.0) * (self.to.1 - self.to.0)
    }

    /// Whether a value lies inside.
    pub(super) fn holds(&self, value: f64) -> bool {
        self.from.0 <= value && value <= self.from.1
    }

    /// At most about `count` round values inside, and the decimals they need.
    pub(super) fn ticks(&self, count: usize) -> (Vec<f64>, usize) {
        let step = round_step((self.from.1 - self.from.0) / super::statistics::as_f64(count.max(1)));
        let first = (self.from.0 / step).ceil();
        let values = (0..200_u32)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|value| *value <= self.from.1);
        (values.collect(), decimals(step))
    }
}

/// The next of 1, 2, 5 times a power of ten at or above `step`.
fn round_step(step: f64) -> f64 {
    let power = libm::exp10(libm::log10(step).floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|round| *round >= step)
        .unwrap_or(step)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
fn decimals(step: f64) -> usize {
    (-step.log10().floor()).clamp(0.0, 8.0) as usize
}

/// Round instants inside a span, at most about `count`, microseconds.
pub(super) fn time_ticks(from_us: i64, to_us: i64, count: i64) -> Vec<i64> {
    let wanted_us = (to_us - from_us) / count.max(1);
    let choices_us = TIME_STEPS_S.map(|step_s| step_s * 1_000_000);
    let step_us = choices_us
        .into_iter()
        .find(|step_us| *step_us >= wanted_us)
        .unwrap_or(DAY_US);
    let first = from_us + (-from_us).rem_euclid(step_us);
    (0..=(to_us - first).div_euclid(step_us))
        .map(|n| first + n * step_us)
        .collect()
}

/// An instant as `2024-08-08 23:54:15`, UTC.
pub(super) fn date_time(time_us: i64) -> String {
    format_time(time_us, "%Y-%m-%d %H:%M:%S")
}

/// An instant as `23:54`, or `23:54:15` where it is not a whole minute, UTC.
pub(super) fn clock(time_us: i64) -> String {
    format_time(time_us, if time_us % 60_000_000 == 0 { "%H:%M" } else { "%H:%M:%S" })
}

fn format_time(time_us: i64, format: &str) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| time_us.to_string(), |time| time.strftime(format).to_string())
}

/// A length of time in its largest whole units, such as `10 min 50 s`.
pub(super) fn duration(span_us: i64) -> String {
    let seconds = span_us / 1_000_000;
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = units
        .iter()
        .filter(|(count, _)| *count > 0)
        .take(2)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() {
        "0 s".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_map_to_ends() {
        let scale = Scale::new((10.0, 20.0), (100.0, 0.0));
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9 && scale.at(20.0).abs() < 1e-9);
        assert!(Scale::new((5.0, 5.0), (0.0, 100.0)).at(5.0).is_finite());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let (ticks, decimals) = Scale::new((61_556.0, 61_860.0), (0.0, 1.0)).ticks(6);
        assert_eq!(ticks, [61_600.0, 61_700.0, 61_800.0]);
        assert_eq!(decimals, 0);
        assert_eq!(Scale::new((0.12, 0.19), (0.0, 1.0)).ticks(4).1, 2);
    }

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(date_time(1_723_161_255_342_000), "2024-08-08 23:54:15");
        assert_eq!(
            (clock(1_723_161_600_000_000), clock(1_723_161_630_000_000)),
            ("00:00".into(), "00:00:30".into())
        );
        assert_eq!(time_ticks(1_723_161_255_000_000, 1_723_161_900_000_000, 5).len(), 3);
    }

    #[test]
    fn durations_show_two_units() {
        assert_eq!(duration(650_000_000), "10 min 50 s");
        assert_eq!(duration(356_400_000_000), "4 d 3 h");
        assert_eq!(duration(0), "0 s");
    }
}
