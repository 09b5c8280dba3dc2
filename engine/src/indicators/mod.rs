//! Indicators: pure functions of closed seconds, one a file. Where a value cannot be told there is a reason instead.

pub mod moments;
pub mod range;
pub mod snapshot;
pub mod volatility;
pub mod volume_profile;
pub mod vwap;

pub use moments::Moments;
pub use range::{Bar, Range, RangeReading};
pub use snapshot::IndicatorSnapshot;
pub use volatility::Volatility;
pub use volume_profile::{BucketVolume, ValueArea, VolumeProfile};
pub use vwap::{AnchoredVwap, RollingVwap, VwapReading};

/// An indicator's value, or why there is none.
pub type Reading<T> = Result<T, Unavailable>;

/// Why an indicator has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// Its window is not full yet.
    Warming,
    /// Nothing was traded in its window.
    NoVolume,
    /// The price moved too little to divide by.
    NoMovement,
    /// An exact intermediate result needs more than 256 bits.
    Overflow,
}

impl Unavailable {
    /// The reason as it stands in views and summaries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::NoVolume => "no_volume",
            Self::NoMovement => "no_movement",
            Self::Overflow => "overflow",
        }
    }
}

/// A scaled price as a float in units of the quote asset: one rounding of the integer, one of the division.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "the rounding is what this does")]
pub fn price_as_f64(price: i64) -> f64 {
    price as f64 / crate::fixed_point::SCALE as f64
}
