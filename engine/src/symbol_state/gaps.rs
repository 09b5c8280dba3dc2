//! Spans of event time in which trades of a symbol are missing.

use serde::{Deserialize, Serialize};

/// Spans `[from, to)` in microseconds, in order, none touching another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gaps(Vec<(i64, i64)>);

impl Gaps {
    /// Adds a span and joins it with those it touches.
    pub(crate) fn add(&mut self, from_us: i64, to_us: i64) {
        let touches = |(from, to): &(i64, i64)| *from <= to_us && from_us <= *to;
        let joined = self
            .0
            .iter()
            .filter(|gap| touches(gap))
            .fold((from_us, to_us), |joined, gap| {
                (joined.0.min(gap.0), joined.1.max(gap.1))
            });
        self.0.retain(|gap| !touches(gap));
        let at = self.0.partition_point(|gap| gap.0 < joined.0);
        self.0.insert(at, joined);
    }

    /// Whether anything is missing between two instants.
    pub(crate) fn overlap(&self, from_us: i64, to_us: i64) -> bool {
        self.0.iter().any(|(from, to)| *from < to_us && from_us < *to)
    }

    /// Forgets the spans that ended at or before an instant.
    pub(crate) fn forget_before(&mut self, instant_us: i64) {
        self.0.retain(|(_, to)| *to > instant_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_become_one() {
        let mut gaps = Gaps::default();
        for (from, to) in [(50, 60), (10, 20), (20, 30), (55, 70)] {
            gaps.add(from, to);
        }
        assert_eq!(gaps.0, [(10, 30), (50, 70)]);
        gaps.add(0, 100);
        assert_eq!(gaps.0, [(0, 100)]);
    }

    #[test]
    fn a_span_ends_before_its_last_instant() {
        let mut gaps = Gaps::default();
        gaps.add(10, 20);
        assert!(gaps.overlap(19, 30) && gaps.overlap(0, 11));
        assert!(!gaps.overlap(20, 30) && !gaps.overlap(0, 10));
        gaps.forget_before(19);
        assert!(gaps.overlap(0, 100));
        gaps.forget_before(20);
        assert!(!gaps.overlap(0, 100));
    }
}
