//! Collects what a page shows while a run goes on, in bounded memory: closed seconds and volume of the last hours, the
//! newest forecasts, every judged one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use assay_engine::indicators::VolumeProfile;
use assay_engine::probability::POOLED;
use assay_engine::slot::PriceUnits;
use assay_engine::{Forecast, Outcome, OutcomeKind, Settings, Side, SymbolView, Trade};

use super::{Fate, Judged, LogEntry, Mark, Point, Report, SymbolReport, WholeInput};

/// Span of the charts, microseconds: what of a longer run can still be read off a picture.
pub(super) const SPAN_US: i64 = 4 * 3_600 * 1_000_000;
/// Symbols that are drawn: those that trade first, which are the busy ones.
const MOST_SYMBOLS: usize = 12;
/// Rows of the outcome log.
const LOG_ROWS: usize = 100;
/// Grain in which old volume is let go, microseconds.
const MINUTE_US: i64 = 60_000_000;

/// What is kept of one symbol.
#[derive(Debug)]
struct SymbolRecord {
    units: PriceUnits,
    /// `closed_version` of the newest view.
    closed_version: i64,
    points: VecDeque<Point>,
    /// Trades by minute, added up per (bucket, side); those of `newest` are not in it yet.
    volume: BTreeMap<i64, BTreeMap<(i64, bool), i64>>,
    newest: Volume,
    weights: Vec<(String, f64)>,
}

/// Trades in a row of one minute, bucket and side: most follow one of their kind.
#[derive(Debug, Clone, Copy, Default)]
struct Volume {
    minute: i64,
    lower: i64,
    bought: bool,
    quantity: i64,
}

/// A forecast and what has become of it.
#[derive(Debug)]
struct Followed {
    forecast: Forecast,
    fate: Fate,
    void_reason: &'static str,
    log_return: Option<f64>,
}

impl Volume {
    fn is_of(&self, other: &Self) -> bool {
        (self.lower, self.bought, self.minute) == (other.lower, other.bought, other.minute)
    }
}

impl Followed {
    fn key(&self) -> (i64, String) {
        (self.forecast.emitted_at_us, self.forecast.id.clone())
    }
}

/// What a page will show of a run that goes on.
#[derive(Debug)]
pub struct Recorder {
    settings: Arc<Settings>,
    symbols: BTreeMap<String, SymbolRecord>,
    /// Symbols seen beyond those that are drawn.
    not_drawn: BTreeSet<String>,
    /// By time of emission and id.
    followed: BTreeMap<(i64, String), Followed>,
    judged: Vec<Judged>,
}

impl Recorder {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            symbols: BTreeMap::new(),
            not_drawn: BTreeSet::new(),
            followed: BTreeMap::new(),
            judged: Vec::new(),
        }
    }

    /// Takes an accepted trade in.
    pub fn trade(&mut self, trade: &Trade<'_>) {
        match self.symbols.get_mut(trade.symbol) {
            Some(record) => record.trade(trade),
            None => self.first_trade(trade),
        }
    }

    fn first_trade(&mut self, trade: &Trade<'_>) {
        if self.symbols.len() >= MOST_SYMBOLS {
            if !self.not_drawn.contains(trade.symbol) {
                self.not_drawn.insert(trade.symbol.to_owned());
            }
            return;
        }
        let exceptions = self.settings.symbols.get(trade.symbol).copied().unwrap_or_default();
        let mut record = SymbolRecord::new(PriceUnits::around(trade.price, exceptions));
        record.trade(trade);
        self.symbols.insert(trade.symbol.to_owned(), record);
    }

    /// Takes the views of changed symbols in.
    pub fn views(&mut self, views: &[SymbolView]) {
        for view in views {
            if let Some(record) = self.symbols.get_mut(&view.symbol) {
                record.view(view);
            }
        }
    }

    /// Takes rows of a partition in; outcomes may be of forecasts beside them.
    pub fn rows(&mut self, forecasts: &[Forecast], outcomes: &[Outcome]) {
        for forecast in forecasts.iter().filter(|forecast| !forecast.overlapping) {
            if let Some(record) = self.symbols.get_mut(&forecast.symbol) {
                record.weights = weights_of(forecast);
            }
            let followed = Followed {
                forecast: forecast.clone(),
                fate: Fate::Open,
                void_reason: "",
                log_return: None,
            };
            self.followed.insert(followed.key(), followed);
        }
        for outcome in outcomes {
            self.outcome(outcome);
        }
        self.forget();
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let (fate, log_return) = match outcome.kind {
            OutcomeKind::Hit => (Fate::Hit, Some(outcome.log_return)),
            OutcomeKind::Miss => (Fate::Miss, Some(outcome.log_return)),
            OutcomeKind::Void => (Fate::Void, None),
        };
        let forecast = &outcome.forecast;
        if fate != Fate::Void {
            self.judged.push(Judged {
                time_us: outcome.evaluated_at_us,
                strategy: forecast.strategy.clone(),
                probability: forecast.probability,
                base_rate: forecast.base_rate,
                hit: fate == Fate::Hit,
            });
        }
        let key = (forecast.emitted_at_us, forecast.id.clone());
        if let Some(open) = self.followed.get_mut(&key) {
            (open.fate, open.void_reason, open.log_return) = (fate, outcome.void_reason, log_return);
        }
    }

    /// Lets forecasts go that neither the charts nor the log will show.
    fn forget(&mut self) {
        let Some((newest_us, _)) = self.followed.last_key_value().map(|(key, _)| key.clone()) else {
            return;
        };
        let is_old = |(emitted_at_us, _): &(i64, String)| *emitted_at_us < newest_us - SPAN_US;
        while self.followed.len() > LOG_ROWS && self.followed.first_key_value().is_some_and(|(key, _)| is_old(key)) {
            self.followed.pop_first();
        }
    }

    /// The page so far. `records` tells what became of them, see [`Report::records`]; `whole` gives the values over the
    /// whole input by symbol.
    #[must_use]
    pub fn report(
        &self,
        source: &str,
        records: &BTreeMap<&'static str, u64>,
        whole: &BTreeMap<String, WholeInput>,
    ) -> Report {
        let symbols = self.symbols.iter().map(|(symbol, record)| SymbolReport {
            symbol: symbol.clone(),
            whole: whole.get(symbol).cloned().unwrap_or_default(),
            points: record.points.iter().copied().collect(),
            profile: record.profile(),
            marks: self.marks_of(symbol),
            weights: record.weights.clone(),
        });
        Report {
            source: source.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: self.settings.revision.clone(),
            strategies: self.settings.strategies.keys().cloned().collect(),
            horizon_us: self.settings.horizon_us,
            symbols: symbols.collect(),
            not_drawn: self.not_drawn.iter().cloned().collect(),
            judged: self.judged_in_order(),
            log: self.newest(),
            records: records.clone(),
        }
    }

    /// Partitions hand their rows over one after the other: only the times tell the order.
    fn judged_in_order(&self) -> Vec<Judged> {
        let mut judged = self.judged.clone();
        judged.sort_by_key(|one| one.time_us);
        judged
    }

    fn newest(&self) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = self.followed.values().map(log_entry).collect();
        entries.sort_by(|a, b| (b.time_us, &a.symbol, &a.strategy).cmp(&(a.time_us, &b.symbol, &b.strategy)));
        entries.truncate(LOG_ROWS);
        entries
    }

    fn marks_of(&self, symbol: &str) -> Vec<Mark> {
        let own = |followed: &&Followed| followed.forecast.symbol == symbol && followed.forecast.strategy != POOLED;
        self.followed.values().filter(own).filter_map(mark).collect()
    }
}

impl SymbolRecord {
    fn new(units: PriceUnits) -> Self {
        Self {
            units,
            closed_version: -1,
            points: VecDeque::new(),
            volume: BTreeMap::new(),
            newest: Volume::default(),
            weights: Vec::new(),
        }
    }

    fn trade(&mut self, trade: &Trade<'_>) {
        let of = Volume {
            minute: trade.event_time_us.div_euclid(MINUTE_US),
            lower: trade.price - trade.price.rem_euclid(self.units.bucket),
            bought: trade.side == Side::Buy,
            quantity: 0,
        };
        if !self.newest.is_of(&of) {
            self.add_newest();
            self.newest = of;
        }
        self.newest.quantity = self.newest.quantity.saturating_add(trade.quantity);
    }

    /// Moves the newest volume to the rest.
    fn add_newest(&mut self) {
        let newest = std::mem::take(&mut self.newest);
        if newest.quantity > 0 {
            let minute = self.volume.entry(newest.minute).or_default();
            let sum = minute.entry((newest.lower, newest.bought)).or_default();
            *sum = sum.saturating_add(newest.quantity);
        }
    }

    /// The text of a view is read only where its closed part is new.
    fn view(&mut self, view: &SymbolView) {
        if view.closed_version == self.closed_version {
            return;
        }
        self.closed_version = view.closed_version;
        if let Some(point) = point_of(view) {
            self.point(point);
        }
    }

    fn point(&mut self, point: Point) {
        if self.points.back().is_some_and(|last| last.time_us >= point.time_us) {
            return;
        }
        self.points.push_back(point);
        let from_us = point.time_us - SPAN_US;
        while self.points.pop_front_if(|point| point.time_us < from_us).is_some() {}
        let from_minute = from_us.div_euclid(MINUTE_US);
        while self
            .volume
            .first_key_value()
            .is_some_and(|(minute, _)| *minute < from_minute)
        {
            self.volume.pop_first();
        }
    }

    fn profile(&self) -> VolumeProfile {
        let mut profile = VolumeProfile::new(self.units.bucket);
        for ((lower, bought), quantity) in self.volume.values().flatten() {
            profile.add_trade(*lower, *quantity, *bought);
        }
        if self.newest.quantity > 0 {
            profile.add_trade(self.newest.lower, self.newest.quantity, self.newest.bought);
        }
        profile
    }
}

/// The closed second a view tells of; `None` before the first.
fn point_of(view: &SymbolView) -> Option<Point> {
    let number = |name: &str| -> Option<f64> {
        view.closed
            .iter()
            .find(|(field, _)| *field == name)
            .and_then(|(_, text)| text.parse().ok())
    };
    Some(Point {
        time_us: view
            .closed
            .iter()
            .find(|(field, _)| *field == "watermark_us")?
            .1
            .parse()
            .ok()?,
        price: number("slot_vwap")?,
        vwap: number("vwap").zip(number("standard_deviation")),
        range: number("range_low").zip(number("range_high")),
    })
}

fn inputs_of(forecast: &Forecast) -> serde_json::Value {
    serde_json::from_str(&forecast.inputs).unwrap_or_default()
}

fn weights_of(forecast: &Forecast) -> Vec<(String, f64)> {
    let inputs = inputs_of(forecast);
    let weights = inputs["weights"].as_object().into_iter().flatten();
    weights
        .filter_map(|(strategy, weight)| Some((strategy.clone(), weight.as_f64()?)))
        .collect()
}

fn mark(followed: &Followed) -> Option<Mark> {
    let forecast = &followed.forecast;
    let up = forecast.direction > 0;
    let title = format!(
        "{} calls {}: {:.1} % against a base rate of {:.1} %, {} confidence; {}",
        forecast.strategy,
        if up { "up" } else { "down" },
        forecast.probability * 100.0,
        forecast.base_rate * 100.0,
        forecast.confidence.to_lowercase(),
        followed.fate.word(),
    );
    let price = inputs_of(forecast)["price"].as_f64()?;
    Some(Mark {
        time_us: forecast.emitted_at_us,
        price,
        up,
        fate: followed.fate,
        title,
    })
}

fn log_entry(followed: &Followed) -> LogEntry {
    let forecast = &followed.forecast;
    LogEntry {
        time_us: forecast.emitted_at_us,
        symbol: forecast.symbol.clone(),
        strategy: forecast.strategy.clone(),
        up: forecast.direction > 0,
        probability: forecast.probability,
        base_rate: forecast.base_rate,
        level: forecast.confidence,
        fate: followed.fate,
        void_reason: followed.void_reason,
        log_return: followed.log_return,
    }
}
