//! The probabilities of one symbol: base rate, records, weights and open forecasts, and the three things done with
//! them: freeze the forecasts of an instant, resolve what is due, learn from it.

use serde::{Deserialize, Serialize};

use super::inputs::{member_inputs, pooled_inputs};
use super::{
    BUCKETS, BaseRate, Bucket, ConfidenceScorer, Direction, Distribution, Evidence, GRID_US, Label, Level, Opinion,
    Parameters, TrackRecord, Weights, pool,
};
use crate::effects::Effects;
use crate::evaluation::calibration::log_loss;
use crate::evaluation::forecast::forecast_id;
use crate::evaluation::{ClosingPrice, ForecastKey, FrozenForecast, HitMissTracker, Origin, Verdict, judge};

/// A strategy's call at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// The strategy's place in [`Parameters::strategies`].
    pub strategy: usize,
    /// The side called.
    pub direction: Direction,
    /// Strength, 0–1.
    pub strength: f64,
    /// Confidence in the data, 0–1.
    pub confidence: f64,
}

/// The instant at which strategies called: the end of a closed slot of a symbol.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Symbol.
    pub symbol: &'a str,
    /// End of the slot, microseconds.
    pub at_us: i64,
    /// VWAP of the slot, above zero.
    pub price: f64,
    /// σ: standard deviation of 60-second log returns; `None` while unknown.
    pub volatility: Option<f64>,
    /// Whether the windows behind the indicators are full and without a gap.
    pub inputs_ready: bool,
    /// Symbols of the partition with a closed slot: among how many cells a level must stand out.
    pub watched_symbols: u64,
    /// The indicators as a canonical JSON object.
    pub indicators: &'a str,
    /// Offset of the record whose arrival closed the slot.
    pub offset: i64,
}

/// What must be known of a symbol to judge what is due.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Symbol.
    pub symbol: &'a str,
    /// The last closing price.
    pub closing: Option<ClosingPrice>,
    /// Whether trades are missing anywhere between two instants, microseconds.
    pub has_gap: &'a dyn Fn(i64, i64) -> bool,
    /// Offset of the record whose arrival moved the watermark.
    pub offset: i64,
}

/// Everything that the probabilities of one symbol depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityEngine {
    base: BaseRate,
    weights: Weights,
    records: Vec<TrackRecord>,
    trackers: Vec<HitMissTracker>,
    pooled: HitMissTracker,
}

impl ProbabilityEngine {
    /// The state before the first trade.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let strategies = parameters.strategies().len();
        Self {
            base: BaseRate::default(),
            weights: Weights::equal(strategies),
            records: vec![TrackRecord::default(); strategies],
            trackers: vec![HitMissTracker::default(); strategies],
            pooled: HitMissTracker::default(),
        }
    }

    /// Samples the base rate where `at_us` is an instant of the grid with a fresh price and a known volatility.
    pub fn observe(
        &mut self,
        parameters: &Parameters,
        at_us: i64,
        closing: Option<ClosingPrice>,
        volatility: Option<f64>,
    ) {
        let fresh = ClosingPrice::fresh(closing, at_us, parameters.stale_after_us());
        if let (0, Some(price), Some(threshold)) = (at_us % GRID_US, fresh, parameters.threshold(volatility)) {
            self.base.start(at_us, price, threshold);
        }
    }

    /// When the next grid instant or forecast is due, microseconds.
    #[must_use]
    pub fn next_due_us(&self, parameters: &Parameters) -> Option<i64> {
        self.next_forecast_due_us()
            .into_iter()
            .chain(self.base.next_due_us(parameters))
            .min()
    }

    /// Judges and learns from everything due at or before `until_us`, in the order (time, strategy).
    pub fn resolve_until(
        &mut self,
        parameters: &Parameters,
        until_us: i64,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        self.base
            .resolve_until(parameters, until_us, around.closing, around.has_gap);
        while let Some(due_us) = self.next_forecast_due_us().filter(|due| *due <= until_us) {
            for &strategy in parameters.by_name() {
                if let Some(forecast) = self.tracker_mut(strategy).and_then(|tracker| tracker.take_due(due_us)) {
                    let verdict = verdict_on(&forecast, parameters, around);
                    self.learn(parameters, &forecast, &verdict);
                    let name = parameters.name(strategy);
                    effects
                        .outcomes
                        .push(forecast.outcome(around.symbol, name, &verdict, around.offset));
                }
            }
        }
    }

    fn next_forecast_due_us(&self) -> Option<i64> {
        let open = self
            .trackers
            .iter()
            .chain([&self.pooled])
            .filter_map(HitMissTracker::open_forecast);
        open.map(FrozenForecast::due_us).min()
    }

    /// Takes one resolved forecast into scores, record and weights. A VOID only counts as such.
    fn learn(&mut self, parameters: &Parameters, forecast: &FrozenForecast, verdict: &Verdict) {
        if let Some(tracker) = self.tracker_mut(forecast.origin.strategy()) {
            tracker.score(forecast, verdict);
        }
        if let (
            Verdict::Judged { label, .. },
            Origin::Strategy {
                index,
                bucket,
                confidence,
            },
        ) = (verdict, forecast.origin)
        {
            self.learn_label(parameters, forecast, *label, (index, bucket, confidence));
        }
    }

    fn learn_label(
        &mut self,
        parameters: &Parameters,
        forecast: &FrozenForecast,
        label: Label,
        (index, bucket, confidence): (usize, Bucket, f64),
    ) {
        if let Some(record) = self.records.get_mut(index) {
            record.count(bucket, forecast.key.direction, label, parameters.decay());
        }
        let loss = log_loss(forecast.probabilities.get(label));
        let base_loss = log_loss(forecast.base_rates.get(label));
        self.weights
            .learn(index, parameters.learning_rate() * confidence, loss, base_loss);
    }

    fn tracker_mut(&mut self, strategy: Option<usize>) -> Option<&mut HitMissTracker> {
        match strategy {
            Some(index) => self.trackers.get_mut(index),
            None => Some(&mut self.pooled),
        }
    }

    /// The record of a strategy, or with `None` of the pool.
    #[must_use]
    pub fn tracker(&self, strategy: Option<usize>) -> Option<&HitMissTracker> {
        match strategy {
            Some(index) => self.trackers.get(index),
            None => Some(&self.pooled),
        }
    }

    /// The base rates now.
    #[must_use]
    pub fn base_rates(&self) -> Distribution {
        self.base.shares()
    }

    /// The weights of the strategies now, in the order of [`Parameters::strategies`].
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        self.weights.as_slice()
    }

    /// Freezes a forecast for each call of an instant, and one for their pool; rows come in the order of names.
    ///
    /// Without a threshold nothing can be judged, so nothing is published. Without calls, or where calls cancel out,
    /// there is no pooled forecast: no opinion is not 50 %.
    pub fn freeze(&mut self, parameters: &Parameters, moment: &Moment<'_>, calls: &[Call], effects: &mut Effects) {
        let Some(threshold) = parameters.threshold(moment.volatility) else {
            return;
        };
        let freezer = Freezer::new(self, parameters, moment, threshold);
        let members: Vec<FrozenForecast> = calls.iter().map(|call| freezer.member(call)).collect();
        let pooled = freezer.pooled(calls, &members);
        for &strategy in parameters.by_name() {
            let frozen = match strategy {
                Some(index) => calls
                    .iter()
                    .position(|call| call.strategy == index)
                    .and_then(|at| members.get(at)),
                None => pooled.as_ref(),
            };
            if let (Some(frozen), Some(tracker)) = (frozen, self.tracker_mut(strategy)) {
                tracker.open(frozen);
                effects
                    .forecasts
                    .push(frozen.row(moment.symbol, parameters.name(strategy)));
            }
        }
    }
}

fn verdict_on(forecast: &FrozenForecast, parameters: &Parameters, around: &Surroundings<'_>) -> Verdict {
    let due_us = forecast.due_us();
    let end = ClosingPrice::fresh(around.closing, due_us, parameters.stale_after_us());
    let has_gap = (around.has_gap)(forecast.key.emitted_at_us, due_us);
    judge(forecast.key.price, end, forecast.key.threshold, has_gap)
}

/// What all forecasts of one instant share.
struct Freezer<'a> {
    engine: &'a ProbabilityEngine,
    parameters: &'a Parameters,
    moment: &'a Moment<'a>,
    threshold: f64,
    base: Distribution,
    scorer: ConfidenceScorer,
}

impl<'a> Freezer<'a> {
    fn new(engine: &'a ProbabilityEngine, parameters: &'a Parameters, moment: &'a Moment<'a>, threshold: f64) -> Self {
        let cells_of_a_symbol = (parameters.strategies().len() * BUCKETS) as u64;
        let scorer = ConfidenceScorer::new(parameters.prior_strength(), cells_of_a_symbol * moment.watched_symbols);
        Self {
            engine,
            parameters,
            moment,
            threshold,
            base: engine.base_rates(),
            scorer,
        }
    }

    fn key(&self, direction: Direction) -> ForecastKey {
        ForecastKey {
            emitted_at_us: self.moment.at_us,
            horizon_us: self.parameters.horizon_us(),
            direction,
            price: self.moment.price,
            threshold: self.threshold,
            offset: self.moment.offset,
        }
    }

    fn id(&self, strategy: Option<usize>) -> u128 {
        let (parameters, moment) = (self.parameters, self.moment);
        let name = parameters.name(strategy);
        forecast_id(
            parameters.revision(),
            moment.symbol,
            name,
            parameters.horizon_us(),
            moment.at_us,
        )
    }

    fn overlaps(&self, strategy: Option<usize>) -> bool {
        self.engine.tracker(strategy).is_some_and(HitMissTracker::is_open)
    }

    fn recent_skill(&self, strategy: Option<usize>) -> Option<f64> {
        self.engine.tracker(strategy).and_then(HitMissTracker::recent_skill)
    }

    fn member(&self, call: &Call) -> FrozenForecast {
        let bucket = Bucket::of(call.strength);
        let record = &self.engine.records[call.strategy];
        let local = record.local(bucket, call.direction, &self.base, self.parameters.prior_strength());
        let cases = record.cases(bucket);
        let level = self.level(call, &local, cases);
        let origin = Origin::Strategy {
            index: call.strategy,
            bucket,
            confidence: call.confidence,
        };
        let mut frozen = self.frozen(origin, call.direction, local, (cases, level));
        frozen.inputs = member_inputs(&frozen, call, self.moment, self.parameters, &self.engine.weights);
        frozen
    }

    fn level(&self, call: &Call, local: &Distribution, cases: f64) -> Level {
        let label = call.direction.label();
        self.scorer.level(&Evidence {
            probability: local.get(label),
            base_rate: self.base.get(label),
            base_cases: self.engine.base.independent_cases(self.parameters),
            cases,
            recent_skill: self.recent_skill(Some(call.strategy)),
            inputs_ready: self.moment.inputs_ready,
        })
    }

    /// The pool of all calls in the direction that has the greater weight; its level and cases are the least of theirs.
    fn pooled(&self, calls: &[Call], members: &[FrozenForecast]) -> Option<FrozenForecast> {
        let direction = self.called(calls)?;
        let opinions: Vec<Opinion> = calls
            .iter()
            .zip(members)
            .map(|(call, member)| self.opinion(call, member))
            .collect();
        let level = members.iter().map(|member| member.level).min()?;
        let cases = members.iter().map(|member| member.cases).fold(f64::INFINITY, f64::min);
        let probabilities = pool(&self.base, &opinions);
        let mut frozen = self.frozen(Origin::Pooled, direction, probabilities, (cases, level));
        frozen.inputs = pooled_inputs(&frozen, calls, self.moment, self.parameters, &self.engine.weights);
        Some(frozen)
    }

    fn opinion(&self, call: &Call, member: &FrozenForecast) -> Opinion {
        let weight = self.engine.weights.as_slice()[call.strategy];
        Opinion {
            local: member.probabilities,
            weight,
            confidence: call.confidence,
        }
    }

    /// The side with the greater sum of weight times confidence; `None` on a draw.
    fn called(&self, calls: &[Call]) -> Option<Direction> {
        let voice = |side: Direction| -> f64 {
            let on_side = calls.iter().filter(|call| call.direction == side);
            on_side
                .map(|call| self.engine.weights.as_slice()[call.strategy] * call.confidence)
                .sum()
        };
        let (up, down) = (voice(Direction::Up), voice(Direction::Down));
        if up > down {
            Some(Direction::Up)
        } else if down > up {
            Some(Direction::Down)
        } else {
            None
        }
    }

    fn frozen(
        &self,
        origin: Origin,
        direction: Direction,
        probabilities: Distribution,
        (cases, level): (f64, Level),
    ) -> FrozenForecast {
        let strategy = origin.strategy();
        FrozenForecast {
            id: self.id(strategy),
            origin,
            key: self.key(direction),
            probabilities,
            base_rates: self.base,
            cases,
            interval: self.scorer.interval(probabilities.get(direction.label()), cases),
            level,
            overlapping: self.overlaps(strategy),
            inputs: String::new(),
        }
    }
}
