//! Steps the engine over records from standard input and prints everything it says, as JSON lines.
//!
//! The first line is a settings object, every further one a canonical record. Printed: one `disposition` a record, the
//! `view` of every symbol it changed, `forecast` and `outcome` rows, at the end `counters` and per strategy and symbol
//! the `calibration` of the outcomes. `tests/oracle` compares this with its own results.

use std::collections::BTreeMap;
use std::io::{BufRead, BufWriter, Write};
use std::sync::Arc;

use assay_engine::evaluation::{Calibration, Scored};
use assay_engine::settings::{RangeBreakoutSettings, StrategySettings, VwapReversionSettings};
use assay_engine::{
    Disposition, Effects, Forecast, Outcome, OutcomeKind, PartitionState, Position, Record, Settings, Side, SymbolView,
    Trade, fixed_point,
};
use serde::Deserialize;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Options {
    revision: String,
    lateness_us: i64,
    dedupe_window_us: i64,
    window_s: u32,
    range_bar_s: u32,
    range_bars: u32,
    horizon_us: i64,
    volatility_multiple: f64,
    stale_after_us: i64,
    prior_strength: f64,
    decay_outcomes: f64,
    learning_rate: f64,
    entry_z: f64,
    exit_z: f64,
    max_z: f64,
    min_trades: u64,
    min_deviation_ticks: f64,
    volume_ratio: f64,
}

impl Options {
    fn settings(self) -> Settings {
        let reversion = StrategySettings::VwapReversion(VwapReversionSettings {
            entry_z: self.entry_z,
            exit_z: self.exit_z,
            max_z: self.max_z,
            min_trades: self.min_trades,
            min_deviation_ticks: self.min_deviation_ticks,
        });
        let breakout = StrategySettings::RangeBreakout(RangeBreakoutSettings {
            volume_ratio: self.volume_ratio,
            volume_bars: self.range_bars,
        });
        Settings {
            revision: self.revision,
            lateness_us: self.lateness_us,
            dedupe_window_us: self.dedupe_window_us,
            vwap_window_s: self.window_s,
            profile_window_s: self.window_s,
            range_bar_s: self.range_bar_s,
            range_bars: self.range_bars,
            strategies: BTreeMap::from([
                ("range-breakout".to_owned(), breakout),
                ("vwap-reversion".to_owned(), reversion),
            ]),
            horizon_us: self.horizon_us,
            volatility_multiple: self.volatility_multiple,
            stale_after_us: self.stale_after_us,
            prior_strength: self.prior_strength,
            decay_outcomes: self.decay_outcomes,
            learning_rate: self.learning_rate,
            symbols: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
struct Line {
    venue: String,
    symbol: String,
    trade_id: u64,
    price: String,
    quantity: String,
    side: String,
    event_time_us: i64,
    received_time_us: i64,
}

impl Line {
    fn trade(&self) -> Result<Trade<'_>, Failure> {
        Ok(Trade {
            venue: &self.venue,
            symbol: &self.symbol,
            trade_id: self.trade_id,
            price: fixed_point::parse(&self.price)?,
            quantity: fixed_point::parse(&self.quantity)?,
            side: if self.side == "buy" { Side::Buy } else { Side::Sell },
            event_time_us: self.event_time_us,
            received_time_us: self.received_time_us,
        })
    }
}

fn main() -> Result<(), Failure> {
    let mut lines = std::io::stdin().lock().lines();
    let options: Options = serde_json::from_str(&lines.next().ok_or("the first line must hold settings")??)?;
    let mut state = PartitionState::new(Arc::new(options.settings()));
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut calibrations = BTreeMap::<(String, String), Calibration>::new();
    for (offset, line) in (0..).zip(lines) {
        let line: Line = serde_json::from_str(&line?)?;
        let mut effects = Effects::default();
        let record = Record::Trade(line.trade()?);
        let disposition = state.step(
            &record,
            Position {
                offset,
                record_time_us: None,
            },
            &mut effects,
        );
        writeln!(out, "{}", json!({"disposition": disposition_text(disposition)}))?;
        print_effects(&mut out, &effects)?;
        effects
            .outcomes
            .iter()
            .for_each(|outcome| calibrate(&mut calibrations, outcome));
        for view in state.take_changed().iter().filter(|view| view.closed_version == offset) {
            writeln!(out, "{}", json!({"view": view_json(view)}))?;
        }
    }
    for ((strategy, symbol), sums) in &calibrations {
        writeln!(
            out,
            "{}",
            json!({"calibration": calibration_json(strategy, symbol, sums)})
        )?;
    }
    let counters = state.counters();
    let (late, duplicate) = (counters.late, counters.duplicate);
    let rejected = &counters.rejected;
    writeln!(
        out,
        "{}",
        json!({"counters": {"accepted": counters.accepted, "late": late, "duplicate": duplicate, "rejected": rejected}})
    )?;
    Ok(out.flush()?)
}

fn disposition_text(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Accepted => "accepted",
        Disposition::Late => "late",
        Disposition::Duplicate => "duplicate",
        Disposition::Faulted => "faulted",
        Disposition::Rejected(reason) => reason.as_str(),
    }
}

fn print_effects(out: &mut impl Write, effects: &Effects) -> Result<(), Failure> {
    for outcome in &effects.outcomes {
        writeln!(out, "{}", json!({"outcome": outcome_json(outcome)?}))?;
    }
    for forecast in &effects.forecasts {
        writeln!(out, "{}", json!({"forecast": forecast_json(forecast)?}))?;
    }
    Ok(())
}

fn forecast_json(forecast: &Forecast) -> Result<Value, Failure> {
    Ok(json!({
        "id": forecast.id,
        "symbol": forecast.symbol,
        "strategy": forecast.strategy,
        "emitted_at_us": forecast.emitted_at_us,
        "direction": forecast.direction,
        "probability": forecast.probability,
        "confidence": forecast.confidence,
        "base_rate": forecast.base_rate,
        "overlapping": forecast.overlapping,
        "inputs": serde_json::from_str::<Value>(&forecast.inputs)?,
    }))
}

fn outcome_json(outcome: &Outcome) -> Result<Value, Failure> {
    Ok(json!({
        "forecast": forecast_json(&outcome.forecast)?,
        "kind": kind_text(outcome.kind),
        "evaluated_at_us": outcome.evaluated_at_us,
        "log_return": outcome.log_return,
    }))
}

fn kind_text(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Hit => "HIT",
        OutcomeKind::Miss => "MISS",
        OutcomeKind::Void => "VOID",
    }
}

fn view_json(view: &SymbolView) -> Value {
    json!({"symbol": view.symbol, "closed": view.closed.iter().cloned().collect::<BTreeMap<_, _>>()})
}

fn calibrate(calibrations: &mut BTreeMap<(String, String), Calibration>, outcome: &Outcome) {
    let forecast = &outcome.forecast;
    let sums = calibrations
        .entry((forecast.strategy.clone(), forecast.symbol.clone()))
        .or_default();
    if outcome.kind != OutcomeKind::Void {
        let hit = outcome.kind == OutcomeKind::Hit;
        sums.add(&Scored {
            probability: forecast.probability,
            base_rate: forecast.base_rate,
            hit,
        });
    }
}

fn calibration_json(strategy: &str, symbol: &str, sums: &Calibration) -> Value {
    json!({
        "strategy": strategy,
        "symbol": symbol,
        "brier": sums.mean_brier(),
        "reference_brier": sums.mean_reference_brier(),
        "brier_skill": sums.brier_skill(),
        "log_loss": sums.mean_log_loss(),
        "hit_rate": sums.hit_rate(),
        "bins": sums.bins.map(|bin| json!([bin.count, bin.hits, bin.probability])),
    })
}
