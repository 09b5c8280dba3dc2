//! What a step gives back: rows to keep and symbols to publish.

use std::sync::Arc;

/// A frozen forecast; columns of the table `forecasts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Hash of (revision, symbol, strategy, horizon, t0), 32 lower-case hex digits.
    pub id: String,
    /// Symbol.
    pub symbol: String,
    /// Strategy name, or `pooled`.
    pub strategy: String,
    /// `t0`: end of the slot that fired, microseconds.
    pub emitted_at_us: i64,
    /// Horizon, microseconds.
    pub horizon_us: i64,
    /// +1 up, −1 down.
    pub direction: i8,
    /// Probability that the side called comes true.
    pub probability: f64,
    /// LOW, MEDIUM or HIGH.
    pub confidence: &'static str,
    /// Base rate of the side called.
    pub base_rate: f64,
    /// A forecast of the same (strategy, symbol, horizon) was still open: stored, never judged.
    pub overlapping: bool,
    /// Everything else that was frozen, as canonical JSON (sorted keys, shortest round-trip floats).
    pub inputs: String,
    /// Offset of the record whose arrival closed the slot.
    pub offset: i64,
}

/// How a forecast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// The side called came true.
    Hit,
    /// It did not.
    Miss,
    /// It could not be judged.
    Void,
}

/// A resolved forecast; a row of `strategy_results`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The forecast as it was frozen.
    pub forecast: Forecast,
    /// HIT, MISS or VOID.
    pub kind: OutcomeKind,
    /// Why VOID (`gap`, `stale_price`); empty otherwise.
    pub void_reason: &'static str,
    /// `t0 + H`, microseconds.
    pub evaluated_at_us: i64,
    /// ln(p(t0+H)/p0); 0 where VOID.
    pub log_return: f64,
    /// Offset of the record whose arrival made it due.
    pub offset: i64,
}

/// A symbol that panicked and is left out from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Symbol.
    pub symbol: String,
    /// Offset of the record that was applied.
    pub offset: i64,
    /// The panic's message.
    pub message: String,
}

/// Rows of one or more steps, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Forecasts emitted.
    pub forecasts: Vec<Forecast>,
    /// Forecasts resolved.
    pub outcomes: Vec<Outcome>,
    /// Symbols newly FAULTED.
    pub faults: Vec<Fault>,
}

/// Field name → text, ready for a Redis hash.
pub type Fields = Vec<(&'static str, String)>;

/// The latest public state of one symbol: a function of the log up to `version`.
///
/// A view is always whole: a publisher that lost one may publish the next alone. Every view of a symbol has the same
/// fields, so that none of an older one stays behind in a hash.
#[derive(Debug, Clone, PartialEq)]
pub struct SymbolView {
    /// Symbol.
    pub symbol: String,
    /// Offset of the last record that changed this view.
    pub version: i64,
    /// Offset of the last record that changed `closed`, at most `version`; −1 before the first.
    pub closed_version: i64,
    /// The `last` group: price, quantity, side and time of the last trade by (event time, trade id).
    pub last: Fields,
    /// The `closed` group: indicators and forecasts as of the watermark. Its text is made once per `closed_version`
    /// and shared by the views that follow.
    pub closed: Arc<Fields>,
}
