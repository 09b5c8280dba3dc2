//! Forecasts as frozen at emission, what became of them, and how well that agrees with what was said.
//!
//! Nothing here learns: an outcome is judged by what was frozen alone, so it can never be judged by later knowledge.

pub mod calibration;
pub mod forecast;
pub mod hit_miss_tracker;
pub mod outcome_evaluator;

pub use calibration::{Calibration, CalibrationBin};
pub use forecast::{ForecastKey, FrozenForecast, Origin};
pub use hit_miss_tracker::{HitMissTracker, Scored};
pub use outcome_evaluator::{ClosingPrice, Verdict, VoidReason, judge};
