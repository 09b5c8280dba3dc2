//! Offsets for the group, after commits: for tools that show lag; never read by Assay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Committed progress that Kafka has not been told of.
#[derive(Debug, Default)]
pub struct GroupOffsets {
    pending: BTreeMap<i32, i64>,
    told_at: Option<Instant>,
}

impl GroupOffsets {
    /// A partition's progress was committed.
    pub fn advanced(&mut self, partition: i32, next_offset: i64) {
        self.pending.insert(partition, next_offset);
    }

    /// What to tell Kafka now, at most once a second.
    pub fn due(&mut self, now: Instant) -> Option<Vec<(i32, i64)>> {
        let too_soon = self
            .told_at
            .is_some_and(|told| now.saturating_duration_since(told) < EVERY);
        if self.pending.is_empty() || too_soon {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.pending).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_once_a_second_at_most() {
        let mut offsets = GroupOffsets::default();
        let now = Instant::now();
        offsets.advanced(0, 5);
        assert_eq!(offsets.due(now), Some(vec![(0, 5)]));
        offsets.advanced(0, 9);
        assert_eq!(offsets.due(now + EVERY / 2), None);
        assert_eq!(offsets.due(now + EVERY), Some(vec![(0, 9)]));
        assert_eq!(offsets.due(now + EVERY * 3), None);
    }
}
