//! What the settings of a revision mean to the state of a symbol, worked out once per partition.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::Settings;
use crate::indicators::Range;
use crate::probability::Parameters;
use crate::settings::StrategySettings;
use crate::strategies::{self, Strategy};
use crate::watermark::MICROS_PER_SECOND;

/// The settings and what follows from them.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) settings: Arc<Settings>,
    pub(crate) parameters: Parameters,
    pub(crate) strategies: Vec<Box<dyn Strategy>>,
    volume_bars: u32,
}

impl Rules {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let longest = settings.strategies.values().map(volume_bars).max();
        Self {
            parameters: Parameters::new(&settings),
            strategies: strategies::build(&settings),
            volume_bars: longest.unwrap_or(0),
            settings,
        }
    }

    /// Tells the hashes of equal partition heads in different revisions apart.
    pub(crate) fn revision_seed(&self) -> u64 {
        xxh3_64(self.settings.revision.as_bytes())
    }

    /// An empty range of bars.
    pub(crate) fn new_range(&self) -> Range {
        Range::new(self.settings.range_bar_s, self.settings.range_bars, self.volume_bars)
    }

    /// Length of the VWAP window, microseconds.
    pub(crate) fn vwap_window_us(&self) -> i64 {
        i64::from(self.settings.vwap_window_s) * MICROS_PER_SECOND
    }

    /// Length of the volume-profile window, microseconds.
    pub(crate) fn profile_window_us(&self) -> i64 {
        i64::from(self.settings.profile_window_s) * MICROS_PER_SECOND
    }

    /// How long a gap matters: to the open outcomes and to the windows, microseconds.
    pub(crate) fn gap_memory_us(&self) -> i64 {
        self.settings.horizon_us.max(self.vwap_window_us())
    }
}

fn volume_bars(strategy: &StrategySettings) -> u32 {
    match strategy {
        StrategySettings::RangeBreakout(parameters) => parameters.volume_bars,
        StrategySettings::VwapReversion(_) => 0,
    }
}
