//! How the forecasts of a partition fared, for summaries, status and metrics.

use super::PartitionState;
use crate::evaluation::HitMissTracker;
use crate::symbol_table::SymbolState;

/// The record of one strategy, or of the pool, on one symbol and horizon.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    /// Symbol.
    pub symbol: &'a str,
    /// Strategy name, or `pooled`.
    pub strategy: &'a str,
    /// Horizon, microseconds.
    pub horizon_us: i64,
    /// Sums over all judged forecasts, the last 200, and the open one.
    pub tracker: &'a HitMissTracker,
}

impl PartitionState {
    /// Every score, in the order (symbol, strategy name). Symbols that are FAULTED have none.
    pub fn scores(&self) -> impl Iterator<Item = Score<'_>> {
        let parameters = &self.rules.parameters;
        self.symbols.in_order().flat_map(move |entry| {
            let live = match &entry.state {
                SymbolState::Live(live) => Some(live),
                SymbolState::Faulted(_) => None,
            };
            let strategies = live.into_iter().flat_map(move |live| {
                parameters
                    .by_name()
                    .iter()
                    .filter_map(move |strategy| Some((*strategy, live.probabilities.tracker(*strategy)?)))
            });
            strategies.map(move |(strategy, tracker)| Score {
                symbol: &entry.name,
                strategy: parameters.name(strategy),
                horizon_us: parameters.horizon_us(),
                tracker,
            })
        })
    }
}
