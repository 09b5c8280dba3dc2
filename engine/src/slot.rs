//! A one-second slot of one symbol while it is open: sums, extremes, quantity per price bucket and the ids it took.
//!
//! Nothing here depends on the order in which the slot's trades arrived.

use serde::{Deserialize, Serialize};

use crate::Trade;
use crate::indicators::{BucketVolume, Moments};
use crate::trade::Side;
use crate::trade_ids::IdPage;
use crate::watermark;

/// Significant digits of a price that the inferred tick size keeps.
const TICK_DIGITS: u32 = 8;
/// Significant digits of a price that the inferred bucket keeps.
const BUCKET_DIGITS: u32 = 4;

/// Units that prices of a symbol are counted in, scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceUnits {
    /// Tick size.
    pub tick: i64,
    /// Width of a volume-profile bucket.
    pub bucket: i64,
}

impl PriceUnits {
    /// Units for prices around `price`: powers of ten with eight (tick) and four (bucket) significant digits, unless
    /// the settings say otherwise.
    #[must_use]
    pub fn around(price: i64, settings: crate::settings::SymbolSettings) -> Self {
        let tick = settings.tick_size.unwrap_or_else(|| power_below(price, TICK_DIGITS));
        let bucket = settings
            .bucket_size
            .unwrap_or_else(|| power_below(price, BUCKET_DIGITS).max(tick));
        Self { tick, bucket }
    }
}

/// The power of ten that leaves `digits` significant digits of a price above zero, at least 1.
fn power_below(price: i64, digits: u32) -> i64 {
    10_i64.pow((price.max(1).ilog10() + 1).saturating_sub(digits))
}

/// The trade that stands last in (event time, trade id, venue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTrade {
    /// Event time, microseconds.
    pub event_time_us: i64,
    /// Id.
    pub trade_id: u64,
    /// The venue's number within the symbol.
    pub venue: u8,
    /// Price, scaled by 1e-8.
    pub price: i64,
    /// Quantity, scaled by 1e-8.
    pub quantity: i64,
    /// Whether the taker bought.
    pub bought: bool,
}

impl LastTrade {
    /// The facts of a trade that its order and its display need.
    #[must_use]
    pub fn of(trade: &Trade<'_>, venue: u8) -> Self {
        Self {
            event_time_us: trade.event_time_us,
            trade_id: trade.trade_id,
            venue,
            price: trade.price,
            quantity: trade.quantity,
            bought: trade.side == Side::Buy,
        }
    }
}

/// A trade kept as it came until the symbol's price units are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RawTrade {
    price: i64,
    quantity: i64,
    bought: bool,
}

/// One open second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSlot {
    /// Its start in seconds since the Unix epoch.
    pub second: i64,
    /// Sums over its trades.
    pub moments: Moments,
    /// Highest price, scaled by 1e-8.
    pub high: i64,
    /// Lowest price, scaled by 1e-8.
    pub low: i64,
    /// Quantity per price bucket, in order of first trade.
    pub buckets: Vec<BucketVolume>,
    /// Ids taken, in pages.
    pub(crate) ids: Vec<IdPage>,
    raw: Vec<RawTrade>,
}

impl OpenSlot {
    /// Makes this an empty slot of another second and keeps its buffers.
    pub fn reset(&mut self, second: i64) {
        self.second = second;
        self.moments = Moments::default();
        (self.high, self.low) = (0, i64::MAX);
        self.buckets.clear();
        self.ids.clear();
        self.raw.clear();
    }

    /// End of the slot, microseconds.
    #[must_use]
    pub const fn end_us(&self) -> i64 {
        watermark::slot_end_us(self.second)
    }

    /// Adds a trade of this second.
    pub fn add(&mut self, price: i64, quantity: i64, bought: bool, units: Option<PriceUnits>) {
        self.moments.add_trade(price, quantity, bought);
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        match units {
            Some(units) => self.add_to_bucket(price, quantity, bought, units.bucket),
            None => self.raw.push(RawTrade {
                price,
                quantity,
                bought,
            }),
        }
    }

    /// Puts trades that were kept raw into buckets.
    pub fn adopt_units(&mut self, units: PriceUnits) {
        for trade in std::mem::take(&mut self.raw) {
            self.add_to_bucket(trade.price, trade.quantity, trade.bought, units.bucket);
        }
    }

    /// The bucket touched last is looked at first: neighbouring trades mostly share it, which spares the division.
    fn add_to_bucket(&mut self, price: i64, quantity: i64, bought: bool, width: i64) {
        let found = self.buckets.iter().rposition(|bucket| bucket.holds(price, width));
        let at = found.unwrap_or_else(|| {
            self.buckets.push(BucketVolume::empty(price - price.rem_euclid(width)));
            self.buckets.len() - 1
        });
        self.buckets[at].add(quantity, bought);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::fixed_point::SCALE;
    use crate::settings::SymbolSettings;

    #[rstest]
    #[case::bitcoin(6_167_155_000_000, 100_000, 10 * SCALE)]
    #[case::ether(268_077_000_000, 10_000, SCALE)]
    #[case::far_below_one(1_234, 1, 1)]
    #[case::rupiah(160_000_000_000_000_000, 10_000_000_000, 1_000_000 * SCALE)]
    fn price_units_follow_the_magnitude_of_the_price(#[case] price: i64, #[case] tick: i64, #[case] bucket: i64) {
        assert_eq!(
            PriceUnits::around(price, SymbolSettings::default()),
            PriceUnits { tick, bucket }
        );
    }

    #[test]
    fn settings_override_the_inferred_units() {
        let settings = SymbolSettings {
            tick_size: Some(50 * SCALE),
            bucket_size: None,
        };
        assert_eq!(
            PriceUnits::around(6_167_155_000_000, settings),
            PriceUnits {
                tick: 50 * SCALE,
                bucket: 50 * SCALE
            }
        );
        let settings = SymbolSettings {
            tick_size: None,
            bucket_size: Some(7),
        };
        assert_eq!(PriceUnits::around(6_167_155_000_000, settings).bucket, 7);
    }

    #[test]
    fn trades_kept_raw_end_in_the_same_buckets() {
        let units = PriceUnits { tick: 1, bucket: 10 };
        let trades = [
            (101, 5, true),
            (109, 2, false),
            (95, 1, true),
            (110, 4, true),
            (100, 3, false),
        ];
        let (mut early, mut late) = (OpenSlot::default(), OpenSlot::default());
        early.reset(7);
        late.reset(7);
        for (price, quantity, bought) in trades {
            early.add(price, quantity, bought, None);
            late.add(price, quantity, bought, Some(units));
        }
        early.adopt_units(units);
        assert_eq!(early, late);
        assert_eq!((late.high, late.low), (110, 95));
        assert_eq!(
            late.buckets.iter().map(|bucket| bucket.lower).collect::<Vec<_>>(),
            [100, 90, 110]
        );
    }
}
