//! `report.html`: one self-contained page that shows what a run saw, what it forecast and what became of it.
//!
//! It draws what it is given and judges nothing: no value on the page is computed from trades here but the volume
//! profile of the span shown. No scripts, no fonts, nothing from the network.

mod hit_rates;
mod log;
mod page;
mod price_chart;
mod profile_chart;
mod recorder;
mod reliability;
mod scale;
mod statistics;
mod svg;

#[cfg(test)]
mod tests;

pub use page::render;
pub use recorder::Recorder;

use std::collections::BTreeMap;

use assay_engine::indicators::VolumeProfile;

/// Judged forecasts below which no rate is shown.
pub const ENOUGH: usize = 50;

/// Everything a page shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was read, for the heading.
    pub source: String,
    /// Version of the program.
    pub version: String,
    /// The revision's id.
    pub revision: String,
    /// Names of the strategies.
    pub strategies: Vec<String>,
    /// Horizon, microseconds.
    pub horizon_us: i64,
    /// Symbols that are drawn, in order.
    pub symbols: Vec<SymbolReport>,
    /// Further symbols, in order.
    pub not_drawn: Vec<String>,
    /// Judged forecasts of all symbols, in the order they were judged.
    pub judged: Vec<Judged>,
    /// Forecasts for the log, newest first.
    pub log: Vec<LogEntry>,
    /// Records by what became of them: `accepted`, `late`, `duplicate`, `faulted`, `ticks`, `gaps`; every other name is
    /// a dead letter's reason.
    pub records: BTreeMap<&'static str, u64>,
}

/// One symbol's section.
#[derive(Debug, Clone)]
pub struct SymbolReport {
    /// Symbol.
    pub symbol: String,
    /// Values over the whole input.
    pub whole: WholeInput,
    /// Closed seconds of the span shown, oldest first.
    pub points: Vec<Point>,
    /// Quantity per price bucket over the span shown.
    pub profile: VolumeProfile,
    /// Counted calls of strategies in the span shown.
    pub marks: Vec<Mark>,
    /// Weight of each strategy at its last forecast.
    pub weights: Vec<(String, f64)>,
}

/// Values of one symbol over the whole input, as the summary gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WholeInput {
    /// Trades.
    pub trades: u64,
    /// Quantity.
    pub volume: String,
    /// Volume-weighted average price.
    pub vwap: String,
    /// Standard deviation around it.
    pub standard_deviation: String,
    /// Lowest price.
    pub low: String,
    /// Highest price.
    pub high: String,
    /// Lower edge of the bucket with most quantity.
    pub point_of_control: String,
    /// Lower edge of the value area.
    pub value_area_low: String,
    /// Upper edge of the value area.
    pub value_area_high: String,
}

/// A closed second with trades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its end, microseconds.
    pub time_us: i64,
    /// Its VWAP.
    pub price: f64,
    /// VWAP and standard deviation of the rolling window.
    pub vwap: Option<(f64, f64)>,
    /// Low and high of the bars before.
    pub range: Option<(f64, f64)>,
}

/// What became of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Not due yet.
    Open,
    /// The side called came true.
    Hit,
    /// It did not.
    Miss,
    /// It could not be judged.
    Void,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Open, Self::Void];

    const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Void => "void",
        }
    }
}

/// A call on the price chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When it was made, microseconds.
    pub time_us: i64,
    /// The price it was made at.
    pub price: f64,
    /// Whether the price was called to rise.
    pub up: bool,
    /// What became of it.
    pub fate: Fate,
    /// Strategy, probability and level in words.
    pub title: String,
}

/// A judged forecast, as rates and the reliability diagram see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// When it was judged, microseconds.
    pub time_us: i64,
    /// Strategy, or `pooled`.
    pub strategy: String,
    /// Probability of the side called.
    pub probability: f64,
    /// Base rate of the side called.
    pub base_rate: f64,
    /// Whether it came true.
    pub hit: bool,
}

/// One row of the outcome log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// When the forecast was made, microseconds.
    pub time_us: i64,
    /// Symbol.
    pub symbol: String,
    /// Strategy, or `pooled`.
    pub strategy: String,
    /// Whether the price was called to rise.
    pub up: bool,
    /// Probability of the side called.
    pub probability: f64,
    /// Base rate of the side called.
    pub base_rate: f64,
    /// Confidence level.
    pub level: &'static str,
    /// What became of it.
    pub fate: Fate,
    /// Why VOID; empty otherwise.
    pub void_reason: &'static str,
    /// Log return over the horizon; `None` while open or where void.
    pub log_return: Option<f64>,
}
