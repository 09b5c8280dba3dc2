//! Whether a strategy may call again: one signal per crossing.

use serde::{Deserialize, Serialize};

use crate::indicators::IndicatorSnapshot;
use crate::strategies::{Signal, Strategy};

/// When the crossing that is still going on was called; `None` while armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arming {
    called_at_us: Option<i64>,
}

impl Arming {
    /// Re-arms where the crossing is over, then asks the strategy if it is armed.
    pub(crate) fn judge(
        &mut self,
        strategy: &dyn Strategy,
        snapshot: &IndicatorSnapshot<'_>,
        horizon_us: i64,
    ) -> Option<Signal> {
        let is_over = |called_at_us| strategy.rearms(snapshot, snapshot.time_us >= called_at_us + horizon_us);
        if self.called_at_us.is_some_and(is_over) {
            self.called_at_us = None;
        }
        if self.called_at_us.is_some() {
            return None;
        }
        let signal = strategy.evaluate(snapshot)?;
        self.called_at_us = Some(snapshot.time_us);
        Some(signal)
    }

    /// Whether the next crossing would be called.
    pub(crate) const fn is_armed(self) -> bool {
        self.called_at_us.is_none()
    }
}
