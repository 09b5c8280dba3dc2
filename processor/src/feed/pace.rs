//! How fast recorded time passes while feeding.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// Speed of event time against the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the broker takes it.
    Full,
    /// So many seconds of event time a second; `real` is 1.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "real" => Ok(Self::Times(1.0)),
            other => other
                .parse()
                .ok()
                .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
                .map(Self::Times)
                .ok_or_else(|| format!("{other:?} is no speed; say real, full, or a number above zero such as 60")),
        }
    }
}

/// Holds records back until their time has come.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    origin: Option<(i64, Instant)>,
}

impl Pace {
    /// Time starts to pass with the first record.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self { speed, origin: None }
    }

    /// How long a record of this event time (microseconds) has to wait yet; never for a time before the first one's.
    pub fn wait_for(&mut self, event_time_us: i64, now: Instant) -> Duration {
        let Speed::Times(factor) = self.speed else {
            return Duration::ZERO;
        };
        let (first_us, started) = *self.origin.get_or_insert((event_time_us, now));
        let recorded = Duration::from_micros(u64::try_from(event_time_us - first_us).unwrap_or(0));
        let due = Duration::try_from_secs_f64(recorded.as_secs_f64() / factor).unwrap_or(Duration::MAX);
        due.saturating_sub(now.saturating_duration_since(started))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("full", Some(Speed::Full))]
    #[case("real", Some(Speed::Times(1.0)))]
    #[case("60", Some(Speed::Times(60.0)))]
    #[case("0", None)]
    #[case("-2", None)]
    #[case("inf", None)]
    #[case("fast", None)]
    fn a_speed_is_a_word_or_a_positive_factor(#[case] text: &str, #[case] speed: Option<Speed>) {
        assert_eq!(text.parse::<Speed>().ok(), speed);
    }

    #[test]
    fn recorded_time_passes_n_times_as_fast() {
        let start = Instant::now();
        let mut pace = Pace::new(Speed::Times(10.0));
        assert_eq!(pace.wait_for(1_000_000, start), Duration::ZERO);
        assert_eq!(pace.wait_for(6_000_000, start), Duration::from_millis(500));
        assert_eq!(
            pace.wait_for(6_000_000, start + Duration::from_millis(200)),
            Duration::from_millis(300)
        );
        assert_eq!(pace.wait_for(0, start), Duration::ZERO);
    }

    #[test]
    fn at_full_speed_nothing_waits() {
        let mut pace = Pace::new(Speed::Full);
        pace.wait_for(0, Instant::now());
        assert_eq!(pace.wait_for(i64::MAX, Instant::now()), Duration::ZERO);
    }
}
