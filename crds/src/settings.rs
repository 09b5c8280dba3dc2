//! The settings of a revision in two forms: validated (plain numbers, for the engine) and canonical (one text for equal settings, for the hash).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::{Problem, Problems};
use crate::spec::{RangeBreakoutSpec, SettingsSpec, StrategySpec, StrategyType, SymbolSpec, VwapReversionSpec};
use crate::{DecimalText, DurationText};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Fields that did not exist when the first revisions were hashed, as JSON pointers below the settings, with the value that says
/// the same as their absence. A field at that value is left out of the canonical text, so that existing hashes stay.
/// `*` stands for every element of a list.
const ADDED_SINCE_FIRST_RELEASE: &[(&str, &str)] = &[];

/// The settings in the engine's units.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedSettings {
    /// How far back in the log a new revision starts, microseconds.
    pub history_window_us: i64,
    /// How long after an instant trades of that instant are still awaited, microseconds.
    pub lateness_us: i64,
    /// How long trade ids are remembered, microseconds of event time.
    pub dedupe_window_us: i64,
    /// Rolling VWAP window, whole seconds.
    pub vwap_window_s: u32,
    /// Volume profile window, whole seconds.
    pub profile_window_s: u32,
    /// Length of a range bar, whole seconds.
    pub range_bar_s: u32,
    /// Bars before the current one that make the range.
    pub range_bars: u32,
    /// Enabled strategies, by name.
    pub strategies: BTreeMap<String, ValidatedStrategy>,
    /// Forecast horizon, microseconds.
    pub horizon_us: i64,
    /// k of θ = k·σ·sqrt(H/60 s).
    pub volatility_multiple: f64,
    /// A price older than this at the due time makes the outcome VOID, microseconds.
    pub stale_after_us: i64,
    /// κ, the weight of the base rate.
    pub prior_strength: f64,
    /// Outcomes after which a count weighs half.
    pub decay_outcomes: f64,
    /// η of the adaptive weights.
    pub learning_rate: f64,
    /// Exceptions by symbol.
    pub symbols: BTreeMap<String, ValidatedSymbol>,
}

/// A strategy's type and parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum ValidatedStrategy {
    /// Price far from its VWAP tends back.
    VwapReversion {
        /// |z| that fires.
        entry_z: f64,
        /// |z| below which it re-arms.
        exit_z: f64,
        /// |z| of full strength.
        max_z: f64,
        /// Trades the window must hold.
        min_trades: u64,
        /// Ticks the standard deviation must reach.
        min_deviation_ticks: f64,
    },
    /// Price leaves its range with volume.
    RangeBreakout {
        /// Volume over the mean of the previous bars that confirms.
        volume_ratio: f64,
        /// Bars in the mean volume.
        volume_bars: u32,
    },
}

/// Exceptions for one symbol; prices scaled by 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValidatedSymbol {
    /// Tick size.
    pub tick_size: Option<i64>,
    /// Width of a volume-profile bucket.
    pub bucket_size: Option<i64>,
}

/// Checks settings and turns them into the engine's units.
///
/// # Errors
/// Every finding, with paths below `spec.settings`.
pub fn validate_settings(spec: &SettingsSpec) -> Result<ValidatedSettings, Problems> {
    let mut found = Findings::default();
    let settings = ValidatedSettings {
        history_window_us: found.positive(&spec.history_window, "historyWindow"),
        lateness_us: found.micros(&spec.lateness, "lateness"),
        dedupe_window_us: found.micros(&spec.dedupe_window, "dedupeWindow"),
        vwap_window_s: found.seconds(&spec.indicators.vwap_window, "indicators.vwapWindow"),
        profile_window_s: found.seconds(&spec.indicators.profile_window, "indicators.profileWindow"),
        range_bar_s: found.seconds(&spec.indicators.range_bar, "indicators.rangeBar"),
        range_bars: spec.indicators.range_bars,
        strategies: found.strategies(&spec.strategies),
        horizon_us: found.whole_seconds_micros(&spec.evaluation.horizon, "evaluation.horizon"),
        volatility_multiple: found.float(&spec.evaluation.volatility_multiple, "evaluation.volatilityMultiple"),
        stale_after_us: found.positive(&spec.evaluation.stale_after, "evaluation.staleAfter"),
        prior_strength: f64::from(spec.probability.prior_strength),
        decay_outcomes: f64::from(spec.probability.decay_outcomes),
        learning_rate: found.float(&spec.probability.learning_rate, "probability.learningRate"),
        symbols: found.symbols(&spec.symbols),
    };
    Problems::check(found.problems)?;
    Ok(settings)
}

/// The canonical text: defaults filled in, durations and decimals in their one form, lists and keys sorted, disabled strategies
/// included. Equal settings give equal texts, and the text is itself a settings document.
///
/// # Errors
/// Where a duration or decimal is malformed.
pub fn canonical_settings(spec: &SettingsSpec) -> Result<String, Problems> {
    validate_settings(spec)?;
    let mut value = serde_json::to_value(normalised(spec)?)
        .map_err(|error| Problem::new("spec.settings", format!("cannot be written as JSON: {error}")))?;
    drop_later_additions(&mut value, ADDED_SINCE_FIRST_RELEASE);
    Ok(sorted(value).to_string())
}

/// A copy with one spelling for each value.
fn normalised(spec: &SettingsSpec) -> Result<SettingsSpec, Problems> {
    let mut spec = spec.clone();
    for duration in [
        &mut spec.history_window,
        &mut spec.lateness,
        &mut spec.dedupe_window,
        &mut spec.indicators.vwap_window,
        &mut spec.indicators.profile_window,
        &mut spec.indicators.range_bar,
        &mut spec.evaluation.horizon,
        &mut spec.evaluation.stale_after,
    ] {
        *duration = duration
            .micros()
            .map(DurationText::from_micros)
            .map_err(|e| Problem::new("spec.settings", e.to_string()))?;
    }
    spec.strategies.iter_mut().for_each(fill_parameters);
    spec.strategies.sort_by(|a, b| a.name.cmp(&b.name));
    spec.symbols.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    let strategies = spec.strategies.iter_mut().flat_map(strategy_decimals);
    let symbols = spec
        .symbols
        .iter_mut()
        .flat_map(|s| [s.tick_size.as_mut(), s.bucket_size.as_mut()])
        .flatten();
    let fixed = [
        &mut spec.evaluation.volatility_multiple,
        &mut spec.probability.learning_rate,
    ];
    for decimal in strategies.chain(symbols).chain(fixed) {
        *decimal = decimal
            .canonical()
            .map_err(|e| Problem::new("spec.settings", e.to_string()))?;
    }
    Ok(spec)
}

/// Writes the parameter block of the strategy's type where it is left out.
fn fill_parameters(strategy: &mut StrategySpec) {
    match strategy.kind {
        StrategyType::VwapReversion => drop(strategy.vwap_reversion.get_or_insert_with(VwapReversionSpec::default)),
        StrategyType::RangeBreakout => drop(strategy.range_breakout.get_or_insert_with(RangeBreakoutSpec::default)),
    }
}

fn strategy_decimals(strategy: &mut StrategySpec) -> Vec<&mut DecimalText> {
    let reversion = strategy.vwap_reversion.as_mut();
    let breakout = strategy.range_breakout.as_mut();
    let reversion = reversion
        .map(|p| [&mut p.entry_z, &mut p.exit_z, &mut p.max_z, &mut p.min_deviation_ticks])
        .into_iter()
        .flatten();
    reversion.chain(breakout.map(|p| &mut p.volume_ratio)).collect()
}

/// Removes fields that say the same as their absence did before they existed.
fn drop_later_additions(value: &mut Value, additions: &[(&str, &str)]) {
    for (pointer, absent) in additions {
        let segments: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
        drop_at(value, &segments, absent);
    }
}

fn drop_at(value: &mut Value, segments: &[&str], absent: &str) {
    match (segments, value) {
        ([last], Value::Object(map)) => {
            let says_the_same = map.get(*last).map(Value::to_string).is_some_and(|text| text == absent);
            if says_the_same {
                map.remove(*last);
            }
        }
        (["*", rest @ ..], Value::Array(items)) => items.iter_mut().for_each(|item| drop_at(item, rest, absent)),
        ([first, rest @ ..], Value::Object(map)) => {
            if let Some(child) = map.get_mut(*first) {
                drop_at(child, rest, absent);
            }
        }
        _ => {}
    }
}

/// The same value with the keys of every object sorted, whatever map `serde_json` was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().collect();
            Value::Object(ordered.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Converts and collects what is wrong, so that all of it is told at once. A failed conversion gives zero, which nobody sees.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
}

impl Findings {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.problems
            .push(Problem::new(format!("spec.settings.{field}"), message));
    }

    fn micros(&mut self, duration: &DurationText, field: &str) -> i64 {
        duration.micros().unwrap_or_else(|error| {
            self.add(field, error.to_string());
            0
        })
    }

    fn positive(&mut self, duration: &DurationText, field: &str) -> i64 {
        let micros = self.micros(duration, field);
        if duration.micros() == Ok(0) {
            self.add(field, "must be longer than zero");
        }
        micros
    }

    fn whole_seconds_micros(&mut self, duration: &DurationText, field: &str) -> i64 {
        let micros = self.positive(duration, field);
        if micros % MICROS_PER_SECOND != 0 {
            self.add(
                field,
                format!("{duration} is not a whole number of seconds; decisions are made on closed seconds"),
            );
        }
        micros
    }

    fn seconds(&mut self, duration: &DurationText, field: &str) -> u32 {
        let seconds = self.whole_seconds_micros(duration, field) / MICROS_PER_SECOND;
        u32::try_from(seconds).unwrap_or_else(|_| {
            self.add(field, format!("{duration} is too long; stay below 1000000h"));
            0
        })
    }

    fn float(&mut self, decimal: &DecimalText, field: &str) -> f64 {
        decimal.to_f64().unwrap_or_else(|error| {
            self.add(field, error.to_string());
            0.0
        })
    }

    fn price(&mut self, decimal: Option<&DecimalText>, field: &str) -> Option<i64> {
        match decimal?.to_scaled() {
            Ok(price) if price > 0 => Some(price),
            Ok(_) => {
                self.add(field, "must be above 0");
                None
            }
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    fn strategies(&mut self, specs: &[StrategySpec]) -> BTreeMap<String, ValidatedStrategy> {
        let mut strategies = BTreeMap::new();
        let mut names = std::collections::BTreeSet::new();
        for spec in specs {
            let strategy = self.strategy(spec);
            if !names.insert(&spec.name) {
                self.add(
                    "strategies",
                    format!("the name {} is taken twice; results are kept by name", spec.name),
                );
            }
            if spec.enabled {
                strategies.insert(spec.name.clone(), strategy);
            }
        }
        strategies
    }

    fn strategy(&mut self, spec: &StrategySpec) -> ValidatedStrategy {
        let field = format!("strategies[{}]", spec.name);
        match spec.kind {
            StrategyType::VwapReversion => self.vwap_reversion(
                &spec.vwap_reversion.clone().unwrap_or_default(),
                &format!("{field}.vwapReversion"),
            ),
            StrategyType::RangeBreakout => self.range_breakout(
                &spec.range_breakout.clone().unwrap_or_default(),
                &format!("{field}.rangeBreakout"),
            ),
        }
    }

    fn vwap_reversion(&mut self, spec: &VwapReversionSpec, field: &str) -> ValidatedStrategy {
        ValidatedStrategy::VwapReversion {
            entry_z: self.float(&spec.entry_z, &format!("{field}.entryZ")),
            exit_z: self.float(&spec.exit_z, &format!("{field}.exitZ")),
            max_z: self.float(&spec.max_z, &format!("{field}.maxZ")),
            min_trades: u64::from(spec.min_trades),
            min_deviation_ticks: self.float(&spec.min_deviation_ticks, &format!("{field}.minDeviationTicks")),
        }
    }

    fn range_breakout(&mut self, spec: &RangeBreakoutSpec, field: &str) -> ValidatedStrategy {
        ValidatedStrategy::RangeBreakout {
            volume_ratio: self.float(&spec.volume_ratio, &format!("{field}.volumeRatio")),
            volume_bars: spec.volume_bars,
        }
    }

    fn symbols(&mut self, specs: &[SymbolSpec]) -> BTreeMap<String, ValidatedSymbol> {
        specs
            .iter()
            .map(|spec| (spec.symbol.clone(), self.symbol(spec)))
            .collect()
    }

    fn symbol(&mut self, spec: &SymbolSpec) -> ValidatedSymbol {
        let field = format!("symbols[{}]", spec.symbol);
        let tick_size = self.price(spec.tick_size.as_ref(), &format!("{field}.tickSize"));
        let bucket_size = self.price(spec.bucket_size.as_ref(), &format!("{field}.bucketSize"));
        if let (Some(tick), Some(bucket)) = (tick_size, bucket_size)
            && bucket % tick != 0
        {
            self.add(&format!("{field}.bucketSize"), "must be a whole number of ticks");
        }
        ValidatedSymbol { tick_size, bucket_size }
    }
}

#[cfg(test)]
mod tests;
