//! Lag and what follows from it: rates, time to drain, headroom of retention. Pure; unknown stays unknown.

mod lag;

pub use lag::{Headroom, Lag, Rates, Sample, TimeToDrain, headroom, lag, rates, time_to_drain};
