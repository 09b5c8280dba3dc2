//! Judges what a price did between two instants: UP, FLAT or DOWN against a threshold, or VOID where the data cannot
//! tell. It sees two prices and never the log.

use crate::effects::OutcomeKind;
use crate::probability::{Direction, Label};

/// The price of an instant: VWAP of the last non-empty slot that ended at or before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosingPrice {
    /// VWAP of the slot, in units of the quote asset; above zero.
    pub price: f64,
    /// End of the slot, microseconds.
    pub slot_end_us: i64,
}

impl ClosingPrice {
    /// The price, if there is one and it is at most `stale_after_us` old at `at_us`.
    #[must_use]
    pub fn fresh(closing: Option<Self>, at_us: i64, stale_after_us: i64) -> Option<f64> {
        closing
            .filter(|closing| at_us - closing.slot_end_us <= stale_after_us)
            .map(|closing| closing.price)
    }
}

/// Why an outcome could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoidReason {
    /// Trades are missing inside the span.
    Gap,
    /// No fresh price at the end of the span.
    StalePrice,
}

impl VoidReason {
    /// The reason as it stands in rows and summaries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::StalePrice => "stale_price",
        }
    }
}

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Both prices are known.
    Judged {
        /// The side it ended on.
        label: Label,
        /// ln(end price / start price).
        log_return: f64,
    },
    /// It cannot be judged.
    Void(VoidReason),
}

impl Verdict {
    /// HIT where the side called came true, MISS where not.
    #[must_use]
    pub fn kind(&self, called: Direction) -> OutcomeKind {
        match self {
            Self::Judged { label, .. } if *label == called.label() => OutcomeKind::Hit,
            Self::Judged { .. } => OutcomeKind::Miss,
            Self::Void(_) => OutcomeKind::Void,
        }
    }
}

/// Judges the span that began at price `start` and ended at `end`; `threshold` is a log return above zero.
#[must_use]
pub fn judge(start: f64, end: Option<f64>, threshold: f64, has_gap: bool) -> Verdict {
    if has_gap {
        return Verdict::Void(VoidReason::Gap);
    }
    let Some(end) = end else {
        return Verdict::Void(VoidReason::StalePrice);
    };
    let log_return = libm::log(end / start);
    let label = if log_return >= threshold {
        Label::Up
    } else if log_return <= -threshold {
        Label::Down
    } else {
        Label::Flat
    };
    Verdict::Judged { label, log_return }
}

#[cfg(test)]
mod tests {
    use super::*;

    const E_TO_A_HUNDREDTH: f64 = 1.010_050_167_084_168;

    fn label_of(start: f64, end: f64, threshold: f64) -> Label {
        match judge(start, Some(end), threshold, false) {
            Verdict::Judged { label, .. } => label,
            Verdict::Void(reason) => panic!("void: {}", reason.as_str()),
        }
    }

    #[test]
    fn a_return_at_the_threshold_is_outside_it() {
        let threshold = libm::log(E_TO_A_HUNDREDTH);
        assert_eq!(label_of(1.0, E_TO_A_HUNDREDTH, threshold), Label::Up);
        assert_eq!(label_of(1.0, E_TO_A_HUNDREDTH, threshold * 1.000_001), Label::Flat);
    }

    #[test]
    fn the_return_is_logarithmic() {
        let Verdict::Judged { label, log_return } = judge(100.0, Some(99.0), 0.01, false) else {
            panic!("void")
        };
        assert_eq!(label, Label::Down);
        assert!((log_return + 0.010_050_335_853_501_44).abs() < 1e-16);
    }

    #[test]
    fn a_gap_voids_before_a_missing_price_does() {
        assert_eq!(judge(1.0, None, 0.01, true), Verdict::Void(VoidReason::Gap));
        assert_eq!(judge(1.0, Some(2.0), 0.01, true), Verdict::Void(VoidReason::Gap));
        assert_eq!(judge(1.0, None, 0.01, false), Verdict::Void(VoidReason::StalePrice));
    }

    #[test]
    fn a_price_goes_stale_just_after_its_age_limit() {
        let closing = Some(ClosingPrice {
            price: 5.0,
            slot_end_us: 1_000_000,
        });
        assert_eq!(ClosingPrice::fresh(closing, 11_000_000, 10_000_000), Some(5.0));
        assert_eq!(ClosingPrice::fresh(closing, 11_000_001, 10_000_000), None);
        assert_eq!(ClosingPrice::fresh(None, 0, 10_000_000), None);
    }

    #[test]
    fn a_flat_span_is_a_miss_for_either_side() {
        let flat = judge(100.0, Some(100.0), 0.01, false);
        assert_eq!(flat.kind(Direction::Up), OutcomeKind::Miss);
        assert_eq!(flat.kind(Direction::Down), OutcomeKind::Miss);
        let down = judge(100.0, Some(90.0), 0.01, false);
        assert_eq!(down.kind(Direction::Down), OutcomeKind::Hit);
        assert_eq!(down.kind(Direction::Up), OutcomeKind::Miss);
    }
}
