//! What became of a strategy's calls: counts of WITH, FLAT and AGAINST per strength bucket, and the local probability
//! they give. It knows nothing of other strategies.

use serde::{Deserialize, Serialize};

use super::{Direction, Distribution, Label};

/// Strength buckets of a strategy: from 0, 0.25, 0.5 and 0.75.
pub const BUCKETS: usize = 4;

/// A strength bucket, 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bucket(u8);

impl Bucket {
    /// The bucket of a strength; strengths outside 0–1 fall into the nearest bucket.
    #[must_use]
    pub fn of(strength: f64) -> Self {
        let bucket = [0.25, 0.5, 0.75].iter().filter(|lower| strength >= **lower).count();
        Self(u8::try_from(bucket).unwrap_or(0))
    }

    /// Its number, 0 to 3.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Decayed counts of one strategy, symbol and horizon, per strength bucket.
///
/// Stored seen from the side called: `up` is WITH, `down` is AGAINST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackRecord {
    cells: [Distribution; BUCKETS],
}

impl Default for TrackRecord {
    fn default() -> Self {
        Self {
            cells: [Distribution::new(0.0, 0.0, 0.0); BUCKETS],
        }
    }
}

/// `counts` of WITH/FLAT/AGAINST as UP/FLAT/DOWN of a call in `direction`, and back: the turn is its own inverse.
fn turned(counts: Distribution, direction: Direction) -> Distribution {
    match direction {
        Direction::Up => counts,
        Direction::Down => counts.mirrored(),
    }
}

impl TrackRecord {
    /// The decayed number of outcomes in a bucket: the n of a local probability.
    #[must_use]
    pub fn cases(&self, bucket: Bucket) -> f64 {
        self.cells[bucket.index()].total()
    }

    /// Counts the outcome of a call; the bucket's older outcomes fade by `decay`.
    pub fn count(&mut self, bucket: Bucket, direction: Direction, label: Label, decay: f64) {
        let seen_from_call = match (direction, label) {
            (Direction::Down, Label::Up) => Label::Down,
            (Direction::Down, Label::Down) => Label::Up,
            (_, label) => label,
        };
        self.cells[bucket.index()].count(seen_from_call, decay);
    }

    /// Share of comparable past cases per label, drawn towards the base rate where cases are few.
    ///
    /// The posterior mean of a Dirichlet prior of weight κ around the base rate, (c + κ·b) / (n + κ), written as
    /// b + (c − n·b) / (n + κ): the same number, and exactly `b` where there are no cases.
    #[must_use]
    pub fn local(
        &self,
        bucket: Bucket,
        direction: Direction,
        base: &Distribution,
        prior_strength: f64,
    ) -> Distribution {
        let counts = turned(self.cells[bucket.index()], direction);
        let cases = counts.total();
        counts.zip_with(base, |count, base| {
            base + (count - cases * base) / (cases + prior_strength)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Distribution = Distribution::new(0.31, 0.38, 0.31);
    const KAPPA: f64 = 30.0;

    #[test]
    fn a_bucket_begins_at_its_lower_edge() {
        let buckets = [0.0, 0.249, 0.25, 0.5, 0.749, 0.75, 1.0].map(|strength| Bucket::of(strength).index());
        assert_eq!(buckets, [0, 0, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn four_cases_give_the_share_computed_by_hand() {
        let (mut record, bucket) = (TrackRecord::default(), Bucket::of(0.3));
        for label in [Label::Down, Label::Down, Label::Flat, Label::Down] {
            record.count(bucket, Direction::Down, label, 1.0);
        }
        let local = record.local(bucket, Direction::Down, &BASE, KAPPA);
        assert!((local.down - (3.0 + 30.0 * 0.31) / 34.0).abs() < 1e-15);
        assert!((local.flat - (1.0 + 30.0 * 0.38) / 34.0).abs() < 1e-15);
        assert!((local.up - (30.0 * 0.31) / 34.0).abs() < 1e-15);
        assert_eq!(record.local(bucket, Direction::Up, &BASE, KAPPA), local.mirrored());
        assert_eq!(record.cases(Bucket::of(0.9)).to_bits(), 0.0_f64.to_bits());
    }

    fn any_label() -> impl Strategy<Value = Label> {
        prop_oneof![Just(Label::Up), Just(Label::Flat), Just(Label::Down)]
    }

    fn any_base() -> impl Strategy<Value = Distribution> {
        (0.01..1.0_f64, 0.01..1.0_f64, 0.01..1.0_f64)
            .prop_map(|(up, flat, down)| Distribution::new(up, flat, down).shares())
    }

    fn record_of(labels: &[Label], decay: f64) -> TrackRecord {
        let mut record = TrackRecord::default();
        for label in labels {
            record.count(Bucket::of(0.0), Direction::Up, *label, decay);
        }
        record
    }

    proptest! {
        #[test]
        fn without_cases_the_share_is_exactly_the_base_rate(base in any_base(), kappa in 0.1..500.0_f64) {
            let local = TrackRecord::default().local(Bucket::of(0.6), Direction::Down, &base, kappa);
            prop_assert_eq!(local, base);
        }

        #[test]
        fn one_more_hit_never_lowers_the_share_of_hits(
            labels in prop::collection::vec(any_label(), 0..400),
            base in any_base(),
            decay in 0.99..1.0_f64,
        ) {
            let (bucket, mut record) = (Bucket::of(0.0), record_of(&labels, decay));
            let before = record.local(bucket, Direction::Up, &base, KAPPA).up;
            record.count(bucket, Direction::Up, Label::Up, decay);
            let after = record.local(bucket, Direction::Up, &base, KAPPA).up;
            prop_assert!(after >= before - f64::EPSILON, "{} fell to {}", before, after);
        }

        #[test]
        fn local_probabilities_sum_to_one(labels in prop::collection::vec(any_label(), 0..400), base in any_base()) {
            let local = record_of(&labels, 0.999).local(Bucket::of(0.0), Direction::Down, &base, KAPPA);
            prop_assert!((local.total() - 1.0).abs() < 1e-12);
            prop_assert!(local.up > 0.0 && local.flat > 0.0 && local.down > 0.0);
        }
    }
}
