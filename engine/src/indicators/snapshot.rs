//! What a strategy may see: the indicators of one symbol at the close of one slot, and nothing else.

use super::{Range, RangeReading, Reading, Unavailable, ValueArea, VolumeProfile, VwapReading};

/// Indicators at the close of a slot that has trades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndicatorSnapshot<'a> {
    /// End of the slot, microseconds.
    pub time_us: i64,
    /// VWAP of the slot itself, in units of the quote asset.
    pub price: f64,
    /// Tick size, in units of the quote asset.
    pub tick: f64,
    /// Highest price in the VWAP window, scaled by 1e-8.
    pub high: Reading<i64>,
    /// Lowest price in the VWAP window, scaled by 1e-8.
    pub low: Reading<i64>,
    /// Trades in the VWAP window.
    pub window_trades: u64,
    /// VWAP over the rolling window.
    pub vwap: Reading<VwapReading>,
    /// VWAP since 00:00 UTC.
    pub anchored_vwap: Reading<VwapReading>,
    /// Range of the bars before the current one.
    pub range: Reading<RangeReading>,
    /// The bars themselves; `None` before the first.
    pub bars: Option<&'a Range>,
    /// σ of a 60-second log return.
    pub volatility: Reading<f64>,
    /// Quantity per price bucket; `None` while its window fills.
    pub profile: Option<&'a VolumeProfile>,
}

impl IndicatorSnapshot<'_> {
    /// Quantity of the current bar so far over the mean of the `count` bars before.
    ///
    /// # Errors
    /// Fewer bars have passed, or nothing was traded in them.
    pub fn volume_ratio(&self, count: u32) -> Reading<f64> {
        self.bars.ok_or(Unavailable::Warming)?.volume_ratio(count)
    }

    /// Point of control and value area; computed when asked for.
    ///
    /// # Errors
    /// The window is not full yet, or nothing was traded in it.
    pub fn value_area(&self) -> Reading<ValueArea> {
        self.profile
            .ok_or(Unavailable::Warming)?
            .value_area()
            .ok_or(Unavailable::NoVolume)
    }
}
