//! Traded quantity per price bucket over a rolling window, its point of control and its value area.

use serde::{Deserialize, Serialize};

use crate::closed_seconds::{ClosedSeconds, FrameReader, FrameWriter};
use crate::slot::OpenSlot;

/// Share of the quantity inside the value area, as a fraction of ten.
const VALUE_AREA_TENTHS: u128 = 7;

/// Quantity traded in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketVolume {
    /// Lower edge, scaled by 1e-8; a multiple of the width.
    pub lower: i64,
    /// Quantity where the taker bought, scaled by 1e-8.
    pub bought: u128,
    /// Quantity where the taker sold, scaled by 1e-8.
    pub sold: u128,
}

impl BucketVolume {
    /// A bucket without trades.
    #[must_use]
    pub const fn empty(lower: i64) -> Self {
        Self {
            lower,
            bought: 0,
            sold: 0,
        }
    }

    /// Whether a price falls into this bucket.
    #[must_use]
    pub const fn holds(&self, price: i64, width: i64) -> bool {
        self.lower <= price && price - self.lower < width
    }

    /// Adds a trade.
    pub fn add(&mut self, quantity: i64, bought: bool) {
        *(if bought { &mut self.bought } else { &mut self.sold }) += u128::from(quantity.unsigned_abs());
    }

    const fn quantity(&self) -> u128 {
        self.bought + self.sold
    }
}

/// Where most was traded; prices scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueArea {
    /// Lower edge of the bucket with the largest quantity.
    pub point_of_control: i64,
    /// Lower edge of the lowest bucket inside.
    pub low: i64,
    /// Upper edge of the highest bucket inside.
    pub high: i64,
}

/// Buckets in ascending order, none of them empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeProfile {
    width: i64,
    buckets: Vec<BucketVolume>,
}

impl VolumeProfile {
    /// An empty profile with buckets of `width`, scaled by 1e-8, above zero.
    #[must_use]
    pub const fn new(width: i64) -> Self {
        Self {
            width,
            buckets: Vec::new(),
        }
    }

    /// Width of a bucket, scaled by 1e-8.
    #[must_use]
    pub const fn width(&self) -> i64 {
        self.width
    }

    /// The buckets, lowest first.
    #[must_use]
    pub fn buckets(&self) -> &[BucketVolume] {
        &self.buckets
    }

    /// Adds a trade.
    pub fn add_trade(&mut self, price: i64, quantity: i64, bought: bool) {
        let mut bucket = BucketVolume::empty(price - price.rem_euclid(self.width));
        bucket.add(quantity, bought);
        self.add(&bucket);
    }

    fn add(&mut self, volume: &BucketVolume) {
        match self.buckets.binary_search_by_key(&volume.lower, |bucket| bucket.lower) {
            Ok(at) => {
                self.buckets[at].bought += volume.bought;
                self.buckets[at].sold += volume.sold;
            }
            Err(at) => self.buckets.insert(at, *volume),
        }
    }

    fn subtract(&mut self, volume: &BucketVolume) {
        let Ok(at) = self.buckets.binary_search_by_key(&volume.lower, |bucket| bucket.lower) else {
            return;
        };
        self.buckets[at].bought -= volume.bought;
        self.buckets[at].sold -= volume.sold;
        if self.buckets[at].quantity() == 0 {
            self.buckets.remove(at);
        }
    }

    /// Takes a closed slot in.
    pub(crate) fn push(&mut self, slot: &OpenSlot, frame: &mut FrameWriter, window: &mut ClosedSeconds) {
        frame.begin(slot.second);
        for bucket in &slot.buckets {
            frame.put(u128::from(bucket.lower.unsigned_abs()));
            frame.put(bucket.bought);
            frame.put(bucket.sold);
            self.add(bucket);
        }
        window.push(frame);
    }

    /// Lets the seconds go that leave the window at or before `now_us`; tells when the last of them left.
    pub(crate) fn expire(&mut self, window: &mut ClosedSeconds, now_us: i64) -> Option<i64> {
        window.expire(now_us, |fields| {
            read_buckets(fields, |bucket| self.subtract(bucket));
        })
    }

    /// The same profile, recomputed from the window.
    pub(crate) fn from_window(width: i64, window: &ClosedSeconds) -> Self {
        let mut rebuilt = Self::new(width);
        window.for_each(|_, fields| {
            read_buckets(fields, |bucket| rebuilt.add(bucket));
        });
        rebuilt
    }

    /// Point of control and 70 % value area; `None` without trades.
    ///
    /// Point of control: the bucket with most quantity; of equals the one nearest the middle of the range, then the
    /// lower. Value area: from there the larger neighbouring row is added, row by row, empty rows included, upwards
    /// where both are equal, and on one side alone once the other has reached its edge.
    #[must_use]
    pub fn value_area(&self) -> Option<ValueArea> {
        let centre = self.point_of_control()?;
        let mut area = Growth::from(self, centre);
        let total: u128 = self.buckets.iter().map(BucketVolume::quantity).sum();
        while area.inside * 10 < total * VALUE_AREA_TENTHS && area.grow() {}
        Some(ValueArea {
            point_of_control: self.buckets[centre].lower,
            low: area.low,
            high: area.high,
        })
    }

    fn point_of_control(&self) -> Option<usize> {
        let (lowest, highest) = (self.buckets.first()?.lower, self.buckets.last()?.lower);
        let from_middle = |bucket: &BucketVolume| {
            (2 * i128::from(bucket.lower) - i128::from(lowest) - i128::from(highest)).unsigned_abs()
        };
        let rank = |at: &usize| {
            let bucket = &self.buckets[*at];
            (
                bucket.quantity(),
                std::cmp::Reverse((from_middle(bucket), bucket.lower)),
            )
        };
        (0..self.buckets.len()).max_by_key(rank)
    }
}

/// A value area while it grows.
struct Growth<'a> {
    profile: &'a VolumeProfile,
    inside: u128,
    low: i64,
    high: i64,
    below: Option<usize>,
    above: usize,
}

impl<'a> Growth<'a> {
    fn from(profile: &'a VolumeProfile, centre: usize) -> Self {
        let bucket = &profile.buckets[centre];
        Self {
            profile,
            inside: bucket.quantity(),
            low: bucket.lower,
            high: bucket.lower.saturating_add(profile.width),
            below: centre.checked_sub(1),
            above: centre + 1,
        }
    }

    /// Adds one row, or a run of empty rows at once; false where both edges are reached.
    fn grow(&mut self) -> bool {
        let up = self.profile.buckets.get(self.above);
        let down = self.below.and_then(|at| self.profile.buckets.get(at));
        let up_row = up.map(|bucket| {
            if bucket.lower == self.high {
                bucket.quantity()
            } else {
                0
            }
        });
        let down_row = down.map(|bucket| {
            if bucket.lower + self.profile.width == self.low {
                bucket.quantity()
            } else {
                0
            }
        });
        if let Some(up) = up.filter(|_| down_row.is_none() || up_row >= down_row) {
            self.take_up(up.lower, up_row == Some(0), up.quantity());
        } else if let Some(down) = down {
            self.take_down(down.lower, down_row == Some(0), down.quantity());
        } else {
            return false;
        }
        true
    }

    /// Empty rows all lose or all win against the other side's row, so they are taken together.
    fn take_up(&mut self, next: i64, only_empty_rows: bool, quantity: u128) {
        if only_empty_rows {
            self.high = next;
            return;
        }
        self.high = next.saturating_add(self.profile.width);
        self.inside += quantity;
        self.above += 1;
    }

    fn take_down(&mut self, next: i64, only_empty_rows: bool, quantity: u128) {
        if only_empty_rows {
            self.low = next + self.profile.width;
            return;
        }
        self.low = next;
        self.inside += quantity;
        self.below = self.below.and_then(|at| at.checked_sub(1));
    }
}

/// Calls `visit` with every bucket of a frame; `None` where the frame is malformed.
pub(crate) fn read_buckets(fields: &mut FrameReader<'_>, mut visit: impl FnMut(&BucketVolume)) -> Option<()> {
    while !fields.is_empty() {
        let lower = fields.take_i64()?;
        visit(&BucketVolume {
            lower,
            bought: fields.take()?,
            sold: fields.take()?,
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn profile(rows: &[(i64, i64)]) -> VolumeProfile {
        let mut profile = VolumeProfile::new(10);
        for (row, quantity) in rows {
            profile.add_trade(row * 10 + 3, *quantity, true);
        }
        profile
    }

    fn area(rows: &[(i64, i64)]) -> (i64, i64, i64) {
        let area = profile(rows).value_area().expect("there are trades");
        (area.point_of_control / 10, area.low / 10, area.high / 10)
    }

    #[rstest]
    #[case::one_bucket(&[(5, 1)], (5, 5, 6))]
    #[case::the_larger_neighbour_comes_first(&[(1, 10), (2, 30), (3, 70), (4, 20), (5, 10)], (3, 2, 4))]
    #[case::a_tie_goes_up(&[(1, 20), (2, 50), (3, 20), (4, 10)], (2, 2, 4))]
    #[case::empty_rows_count_one_by_one(&[(1, 30), (2, 40), (9, 30)], (2, 1, 3))]
    #[case::both_empty_goes_up_to_the_next_row(&[(1, 20), (3, 50), (6, 30)], (3, 3, 7))]
    #[case::at_the_upper_edge_the_lower_side_grows(&[(1, 40), (5, 60)], (5, 1, 6))]
    #[case::equal_maxima_take_the_one_nearest_the_middle(&[(1, 5), (4, 9), (5, 9), (10, 5)], (5, 4, 11))]
    #[case::then_the_lower_one(&[(1, 9), (3, 9)], (1, 1, 4))]
    fn the_value_area_follows_its_rules(#[case] rows: &[(i64, i64)], #[case] expected: (i64, i64, i64)) {
        assert_eq!(area(rows), expected);
    }

    #[test]
    fn no_trades_have_no_value_area() {
        assert_eq!(VolumeProfile::new(10).value_area(), None);
    }

    #[test]
    fn a_bucket_far_away_costs_one_step() {
        let mut profile = VolumeProfile::new(1);
        profile.add_trade(1, 40, true);
        profile.add_trade(i64::MAX - 1, 60, false);
        let area = profile.value_area().expect("there are trades");
        assert_eq!(
            (area.point_of_control, area.low, area.high),
            (i64::MAX - 1, 1, i64::MAX)
        );
    }

    /// The definition, row by row.
    fn brute_force(rows: &[(i64, i64)]) -> (i64, i64, i64) {
        let (first, last) = (
            rows.iter().map(|row| row.0).min().unwrap(),
            rows.iter().map(|row| row.0).max().unwrap(),
        );
        let quantity = |row: i64| {
            rows.iter()
                .filter(|(at, _)| *at == row)
                .map(|(_, quantity)| quantity)
                .sum::<i64>()
        };
        let most = (first..=last).map(quantity).max().unwrap();
        let centre = (first..=last)
            .filter(|row| quantity(*row) == most)
            .min_by_key(|row| ((2 * row - first - last).abs(), *row))
            .unwrap();
        let total: i64 = rows.iter().map(|row| row.1).sum();
        let (mut low, mut high, mut inside) = (centre, centre, most);
        while inside * 10 < total * 7 {
            let (up, down) = (quantity(high + 1), quantity(low - 1));
            if high < last && (low == first || up >= down) {
                (high, inside) = (high + 1, inside + up);
            } else {
                (low, inside) = (low - 1, inside + down);
            }
        }
        (centre, low, high + 1)
    }

    proptest! {
        #[test]
        fn runs_of_empty_rows_change_nothing(rows in prop::collection::vec((0..40_i64, 1..9_i64), 1..25)) {
            prop_assert_eq!(area(&rows), brute_force(&rows));
        }
    }
}
