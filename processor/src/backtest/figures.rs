//! What was traded of one symbol over a whole input: exact sums, and the volume profile at their end.

use assay_engine::Settings;
use assay_engine::fixed_point::Decimal;
use assay_engine::indicators::moments::NOTIONAL_LIMIT;
use assay_engine::indicators::{Moments, VolumeProfile};
use assay_engine::slot::PriceUnits;
use assay_engine::{Side, Trade};
use serde::Serialize;

/// Digits behind the point of a VWAP.
const VWAP_DIGITS: u32 = 10;
/// Digits behind the point of a standard deviation.
const DEVIATION_DIGITS: u32 = 8;

/// Sums over the trades of one symbol.
#[derive(Debug, Clone)]
pub struct Figures {
    moments: Moments,
    profile: VolumeProfile,
    low: i64,
    high: i64,
    beyond_range: u64,
}

/// [`Figures`] as text: decimals without loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FiguresText {
    /// Trades in the figures.
    pub trades: u64,
    /// Trades too large for exact sums, left out of the figures.
    pub beyond_range: u64,
    /// Σ quantity.
    pub volume: String,
    /// Σ quantity × price / Σ quantity, ten decimals.
    pub vwap: Option<String>,
    /// Volume-weighted standard deviation of the price, eight decimals.
    pub standard_deviation: Option<String>,
    /// Lowest price.
    pub low: String,
    /// Highest price.
    pub high: String,
    /// Lower edge of the bucket with the largest quantity.
    pub point_of_control: Option<String>,
    /// Lower edge of the value area.
    pub value_area_low: Option<String>,
    /// Upper edge of the value area.
    pub value_area_high: Option<String>,
}

impl Figures {
    /// No trades yet; the bucket is the manifest's, or else follows the magnitude of the first trade's price.
    #[must_use]
    pub fn new(settings: &Settings, first: &Trade<'_>) -> Self {
        let exceptions = settings.symbols.get(first.symbol).copied().unwrap_or_default();
        let profile = VolumeProfile::new(PriceUnits::around(first.price, exceptions).bucket);
        Self {
            moments: Moments::default(),
            profile,
            low: i64::MAX,
            high: 0,
            beyond_range: 0,
        }
    }

    /// Adds a trade.
    pub fn add(&mut self, trade: &Trade<'_>) {
        let notional = u128::from(trade.price.unsigned_abs()) * u128::from(trade.quantity.unsigned_abs());
        if notional >= NOTIONAL_LIMIT {
            self.beyond_range += 1;
            return;
        }
        let bought = trade.side == Side::Buy;
        self.moments.add_trade(trade.price, trade.quantity, bought);
        self.profile.add_trade(trade.price, trade.quantity, bought);
        self.low = self.low.min(trade.price);
        self.high = self.high.max(trade.price);
    }

    /// The figures as they stand.
    #[must_use]
    pub fn text(&self) -> FiguresText {
        let area = self.profile.value_area();
        let edge =
            |price: fn(&assay_engine::indicators::ValueArea) -> i64| area.as_ref().map(|area| decimal(price(area)));
        FiguresText {
            trades: self.moments.trades,
            beyond_range: self.beyond_range,
            volume: decimal(i64::try_from(self.moments.quantity()).unwrap_or(i64::MAX)),
            vwap: self.moments.vwap_text(VWAP_DIGITS),
            standard_deviation: self.moments.standard_deviation_text(DEVIATION_DIGITS),
            low: decimal(self.low),
            high: decimal(self.high),
            point_of_control: edge(|area| area.point_of_control),
            value_area_low: edge(|area| area.low),
            value_area_high: edge(|area| area.high),
        }
    }
}

fn decimal(value: i64) -> String {
    Decimal(value).to_string()
}
