//! Event time of a partition: how far it has come, and up to where nothing more is awaited.

use serde::{Deserialize, Serialize};

/// Microseconds in a second: the length of a slot.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// How far ahead of its arrival a record's event time may lie, microseconds.
pub const MAX_AHEAD_US: i64 = 5 * MICROS_PER_SECOND;

/// Event times from here on (10000-01-01) are no times of trades; it keeps sums of times far from overflow.
const END_OF_TIME_US: i64 = 253_402_300_800 * MICROS_PER_SECOND;

/// Whether an event time lies between 1970 and 9999.
#[must_use]
pub const fn is_representable(event_time_us: i64) -> bool {
    0 <= event_time_us && event_time_us < END_OF_TIME_US
}

/// Whether a second lies between 1970 and 9999.
#[must_use]
pub const fn is_representable_second(second: i64) -> bool {
    0 <= second && second < END_OF_TIME_US / MICROS_PER_SECOND
}

/// The second that an instant lies in, since the Unix epoch.
#[must_use]
pub const fn second_of(time_us: i64) -> i64 {
    time_us.div_euclid(MICROS_PER_SECOND)
}

/// End of a one-second slot, microseconds.
#[must_use]
pub const fn slot_end_us(second: i64) -> i64 {
    (second + 1) * MICROS_PER_SECOND
}

/// Highest accepted event time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTime {
    newest_us: Option<i64>,
}

impl EventTime {
    /// Takes note of an accepted event time; true where it is the newest so far.
    pub fn observe(&mut self, event_time_us: i64) -> bool {
        let newer = self.newest_us.is_none_or(|newest| newest < event_time_us);
        if newer {
            self.newest_us = Some(event_time_us);
        }
        newer
    }

    /// The watermark: slots that end at or before it are closed. `None` before the first record.
    #[must_use]
    pub fn watermark_us(self, lateness_us: i64) -> Option<i64> {
        self.newest_us.map(|newest| newest - lateness_us)
    }

    /// Whether the slot of an event time is closed already.
    #[must_use]
    pub fn is_late(self, event_time_us: i64, lateness_us: i64) -> bool {
        let end = slot_end_us(second_of(event_time_us));
        self.watermark_us(lateness_us).is_some_and(|watermark| end <= watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENESS_US: i64 = 2 * MICROS_PER_SECOND;

    #[test]
    fn nothing_is_late_before_the_first_record() {
        assert!(!EventTime::default().is_late(0, LATENESS_US));
    }

    #[test]
    fn a_slot_is_late_as_soon_as_the_watermark_reaches_its_end() {
        let mut time = EventTime::default();
        assert!(time.observe(12 * MICROS_PER_SECOND - 1));
        assert!(!time.is_late(9_000_000, LATENESS_US));
        assert!(time.observe(12 * MICROS_PER_SECOND));
        assert!(time.is_late(9_999_999, LATENESS_US));
        assert!(!time.is_late(10_000_000, LATENESS_US));
    }

    #[test]
    fn event_time_never_goes_back() {
        let mut time = EventTime::default();
        time.observe(5_000_000);
        assert!(!time.observe(4_000_000));
        assert_eq!(time.watermark_us(LATENESS_US), Some(3_000_000));
    }
}
