//! Everything that the results of one symbol depend on: its open seconds, its windows and its probabilities.
//!
//! Taking a trade touches its open second and nothing else. Everything further happens when the watermark passes an
//! instant at which the symbol has something due.

mod arming;
mod closed_windows;
mod gaps;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

pub(crate) use self::arming::Arming;
pub(crate) use self::closed_windows::{ClosedWindows, WindowsDocument, seed_of};
pub(crate) use self::gaps::Gaps;
use crate::effects::Effects;
use crate::evaluation::ClosingPrice;
use crate::indicators::{
    AnchoredVwap, IndicatorSnapshot, Range, Reading, RollingVwap, Unavailable, Volatility, VolumeProfile, VwapReading,
    price_as_f64,
};
use crate::probability::{Call, GRID_US, Moment, ProbabilityEngine, Surroundings};
use crate::rules::Rules;
use crate::slot::{LastTrade, OpenSlot, PriceUnits};
use crate::symbol_view;
use crate::trade_ids::{self, IdPage, MAX_VENUES, TakenIds};
use crate::watermark::{MICROS_PER_SECOND, second_of, slot_end_us};
use crate::{Rejection, Trade};

/// What happens around a symbol while the watermark passes one of its instants.
pub(crate) struct Turn<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) symbol: &'a str,
    /// Offset of the record that moved the watermark.
    pub(crate) offset: i64,
    /// The watermark, microseconds: the instant is at or before it.
    pub(crate) watermark_us: i64,
    /// Symbols of the partition with a closed slot.
    pub(crate) watched_symbols: u64,
    pub(crate) effects: &'a mut Effects,
}

/// The part of the state that is hashed anew whenever it was touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) venues: Vec<Box<str>>,
    pub(crate) units: Option<PriceUnits>,
    /// Open seconds, oldest first.
    pub(crate) open: Vec<OpenSlot>,
    pub(crate) last: Option<LastTrade>,
    pub(crate) first_closed_second: Option<i64>,
    /// End of the last closed slot and its VWAP.
    pub(crate) closing: Option<(i64, f64)>,
    pub(crate) vwap: RollingVwap,
    pub(crate) anchored_vwap: AnchoredVwap,
    pub(crate) profile: Option<VolumeProfile>,
    pub(crate) range: Range,
    pub(crate) volatility: Volatility,
    next_grid_us: Option<i64>,
    pub(crate) arming: Vec<Arming>,
    gaps: Gaps,
    /// Offset of the last record that changed the view.
    pub(crate) version: i64,
    /// Offset of the last record that changed its closed part.
    pub(crate) closed_version: i64,
    /// Instant up to which the closed part is told, microseconds.
    pub(crate) as_of_us: Option<i64>,
}

/// A symbol that works.
#[derive(Debug, Clone)]
pub(crate) struct LiveSymbol {
    pub(crate) head: Head,
    pub(crate) probabilities: ProbabilityEngine,
    closed: ClosedWindows,
    taken: TakenIds,
    /// Slots that closed, kept for their buffers.
    spare: Vec<OpenSlot>,
    probabilities_digest: Option<u128>,
}

/// A live symbol as snapshots hold it.
#[derive(Serialize, Deserialize)]
pub(crate) struct LiveDocument {
    pub(crate) head: Head,
    probabilities: ProbabilityEngine,
    windows: WindowsDocument,
}

/// What a symbol says to a trade before anything is touched.
pub(crate) enum Admission {
    /// It may be taken.
    New { venue: u8, id: IdPage },
    /// Its id was taken within the dedupe window.
    Duplicate,
    /// It cannot be told apart.
    Rejected(Rejection),
}

impl LiveSymbol {
    pub(crate) fn new(rules: &Rules, symbol: &str) -> Self {
        Self {
            head: Head {
                venues: Vec::new(),
                units: None,
                open: Vec::new(),
                last: None,
                first_closed_second: None,
                closing: None,
                vwap: RollingVwap::default(),
                anchored_vwap: AnchoredVwap::default(),
                profile: None,
                range: rules.new_range(),
                volatility: Volatility::default(),
                next_grid_us: None,
                arming: vec![Arming::default(); rules.strategies.len()],
                gaps: Gaps::default(),
                version: -1,
                closed_version: -1,
                as_of_us: None,
            },
            probabilities: ProbabilityEngine::new(&rules.parameters),
            closed: ClosedWindows::new(rules, symbol),
            taken: TakenIds::default(),
            spare: Vec::new(),
            probabilities_digest: None,
        }
    }

    /// Whether a trade was taken already. A venue's first trade gives it a number.
    pub(crate) fn admit(&mut self, trade: &Trade<'_>) -> Admission {
        let known = self.head.venues.iter().position(|venue| **venue == *trade.venue);
        let number = known.unwrap_or(self.head.venues.len());
        if number >= MAX_VENUES {
            return Admission::Rejected(Rejection::InvalidField);
        }
        #[allow(clippy::cast_possible_truncation, reason = "fewer than MAX_VENUES = 64")]
        let venue = number as u8;
        let id = IdPage::of(venue, trade.trade_id);
        if known.is_some() && self.taken.contains(id) {
            return Admission::Duplicate;
        }
        Admission::New { venue, id }
    }

    /// Takes an admitted trade of an open second; true where that second is new.
    pub(crate) fn take(&mut self, trade: &Trade<'_>, (venue, id): (u8, IdPage), offset: i64) -> bool {
        if usize::from(venue) == self.head.venues.len() {
            self.head.venues.push(trade.venue.into());
        }
        let last = LastTrade::of(trade, venue);
        let units = self.head.units;
        let (slot, is_new) = self.open_slot(second_of(trade.event_time_us));
        slot.add(trade.price, trade.quantity, last.bought, units);
        trade_ids::note(&mut slot.ids, id);
        self.taken.insert(id);
        if self.head.stands_last(&last) {
            self.head.last = Some(last);
            self.head.version = offset;
        }
        is_new
    }

    /// The open slot of a second, made where there is none. The newest is looked at first.
    fn open_slot(&mut self, second: i64) -> (&mut OpenSlot, bool) {
        let open = &mut self.head.open;
        let before = open.iter().rposition(|slot| slot.second <= second);
        if let Some(at) = before.filter(|at| open[*at].second == second) {
            return (&mut open[at], false);
        }
        let mut slot = self.spare.pop().unwrap_or_default();
        slot.reset(second);
        let at = before.map_or(0, |before| before + 1);
        open.insert(at, slot);
        (&mut open[at], true)
    }

    /// Takes note of missing trades.
    pub(crate) fn note_gap(&mut self, from_us: i64, to_us: i64) {
        self.head.gaps.add(from_us, to_us);
    }

    /// The next instant at which something is due, microseconds.
    pub(crate) fn next_due_us(&self, rules: &Rules) -> Option<i64> {
        [self.next_event_us(rules), self.closed.next_expiry_us()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next instant at which more is due than the end of a window.
    fn next_event_us(&self, rules: &Rules) -> Option<i64> {
        let slot_end = self.head.open.first().map(OpenSlot::end_us);
        let outcome = self.probabilities.next_due_us(&rules.parameters);
        [slot_end, outcome, self.head.next_grid_us].into_iter().flatten().min()
    }

    /// Lets the watermark pass one instant at which something is due: closes the slot that ends there, lets old seconds
    /// go, resolves what is due, then evaluates the strategies if a slot closed.
    pub(crate) fn advance(&mut self, now_us: i64, turn: &mut Turn<'_>) {
        let closed = self.close_slot(now_us, turn);
        let mut told_until = self.expire(now_us);
        let events = self.observe_grid(now_us, turn) | self.resolve(now_us, turn);
        if closed {
            self.evaluate(now_us, turn);
        }
        if closed || events {
            told_until = Some(now_us);
        }
        let quiet_until = self.next_event_us(turn.rules).map_or(i64::MAX, |event| event - 1);
        told_until = self.expire(quiet_until.min(turn.watermark_us)).or(told_until);
        self.head.gaps.forget_before(now_us - turn.rules.gap_memory_us());
        if told_until.is_some() {
            self.head.as_of_us = told_until;
            (self.head.version, self.head.closed_version) = (turn.offset, turn.offset);
        }
    }

    fn close_slot(&mut self, now_us: i64, turn: &Turn<'_>) -> bool {
        if self.head.open.first().is_none_or(|slot| slot.end_us() > now_us) {
            return false;
        }
        let mut slot = self.head.open.remove(0);
        self.adopt_units(&mut slot, turn);
        self.head.first_closed_second.get_or_insert(slot.second);
        if let Ok(price) = slot.moments.vwap() {
            self.head.closing = Some((slot.end_us(), price));
        }
        self.head.anchored_vwap.push(slot.second, &slot.moments);
        self.head.range.push(&slot);
        self.closed.push(&mut slot, &mut self.head);
        self.head.schedule_grid(slot.end_us());
        self.spare.push(slot);
        true
    }

    /// The lowest price of the first slot to close decides the units of all: whatever came in which order, the slot is
    /// complete now.
    fn adopt_units(&mut self, slot: &mut OpenSlot, turn: &Turn<'_>) {
        if self.head.units.is_some() {
            return;
        }
        let settings = turn
            .rules
            .settings
            .symbols
            .get(turn.symbol)
            .copied()
            .unwrap_or_default();
        let units = PriceUnits::around(slot.low, settings);
        self.head.units = Some(units);
        self.head.profile = Some(VolumeProfile::new(units.bucket));
        slot.adopt_units(units);
        for open in &mut self.head.open {
            open.adopt_units(units);
        }
    }

    /// Lets the seconds go that leave a window at or before `until_us`; tells when the last of them left an indicator.
    fn expire(&mut self, until_us: i64) -> Option<i64> {
        self.closed.expire_ids(until_us, &mut self.taken);
        self.closed.expire_indicators(until_us, &mut self.head)
    }

    /// Samples volatility and base rate at an instant of the 60-second grid.
    fn observe_grid(&mut self, now_us: i64, turn: &Turn<'_>) -> bool {
        if self.head.next_grid_us.is_none_or(|grid| grid > now_us) {
            return false;
        }
        self.head.next_grid_us = None;
        let (parameters, closing) = (&turn.rules.parameters, self.head.closing_price());
        if let Some(price) = ClosingPrice::fresh(closing, now_us, parameters.stale_after_us()) {
            self.head.volatility.observe(now_us, price, GRID_US);
            let volatility = self.head.volatility.read().ok();
            self.probabilities.observe(parameters, now_us, closing, volatility);
            self.probabilities_digest = None;
            let fresh_at_next = ClosingPrice::fresh(closing, now_us + GRID_US, parameters.stale_after_us());
            self.head.next_grid_us = fresh_at_next.map(|_| now_us + GRID_US);
        }
        true
    }

    fn resolve(&mut self, now_us: i64, turn: &mut Turn<'_>) -> bool {
        let parameters = &turn.rules.parameters;
        if self
            .probabilities
            .next_due_us(parameters)
            .is_none_or(|due| due > now_us)
        {
            return false;
        }
        let gaps = &self.head.gaps;
        let around = Surroundings {
            symbol: turn.symbol,
            closing: self.head.closing_price(),
            has_gap: &|from_us, to_us| gaps.overlap(from_us, to_us),
            offset: turn.offset,
        };
        self.probabilities
            .resolve_until(parameters, now_us, &around, turn.effects);
        self.probabilities_digest = None;
        true
    }

    fn evaluate(&mut self, now_us: i64, turn: &mut Turn<'_>) {
        let (Some(snapshot), Some(units)) = (self.head.snapshot(now_us, turn.rules), self.head.units) else {
            return;
        };
        let mut calls = Vec::new();
        let mut arming = self.head.arming.clone();
        for (index, (strategy, armed)) in turn.rules.strategies.iter().zip(&mut arming).enumerate() {
            if let Some(signal) = armed.judge(strategy.as_ref(), &snapshot, turn.rules.settings.horizon_us) {
                let (direction, strength, confidence) = (signal.direction, signal.strength, signal.confidence);
                calls.push(Call {
                    strategy: index,
                    direction,
                    strength,
                    confidence,
                });
            }
        }
        if !calls.is_empty() {
            let moment = Moment {
                symbol: turn.symbol,
                at_us: now_us,
                price: snapshot.price,
                volatility: snapshot.volatility.ok(),
                inputs_ready: self.head.inputs_ready(now_us, turn.rules),
                watched_symbols: turn.watched_symbols,
                indicators: &symbol_view::indicators_json(&snapshot, units),
                offset: turn.offset,
            };
            self.probabilities
                .freeze(&turn.rules.parameters, &moment, &calls, turn.effects);
            self.probabilities_digest = None;
        }
        self.head.arming = arming;
    }

    /// The symbol's digest: its closed seconds, its probabilities and its head. `scratch` is a buffer.
    pub(crate) fn digest(&mut self, seed: u64, scratch: &mut Vec<u8>) -> Result<u128, postcard::Error> {
        let probabilities = match self.probabilities_digest {
            Some(digest) => digest,
            None => hash(&self.probabilities, seed.wrapping_add(1), scratch)?,
        };
        self.probabilities_digest = Some(probabilities);
        let head = hash(&self.head, seed, scratch)?;
        Ok(self.closed.digest().wrapping_add(probabilities).wrapping_add(head))
    }

    /// The same digest with every sum recomputed from the closed seconds and nothing remembered.
    pub(crate) fn digest_from_scratch(&self, seed: u64) -> Result<u128, postcard::Error> {
        let mut scratch = Vec::new();
        let mut head = self.head.clone();
        self.closed.recompute(&mut head);
        let probabilities = hash(&self.probabilities, seed.wrapping_add(1), &mut scratch)?;
        let head = hash(&head, seed, &mut scratch)?;
        Ok(self
            .closed
            .digest_from_scratch()
            .wrapping_add(probabilities)
            .wrapping_add(head))
    }

    pub(crate) fn to_document(&self) -> LiveDocument {
        LiveDocument {
            head: self.head.clone(),
            probabilities: self.probabilities.clone(),
            windows: self.closed.to_document(),
        }
    }

    /// The symbol of a snapshot; `None` where its parts do not fit together.
    pub(crate) fn from_document(document: LiveDocument, rules: &Rules, symbol: &str) -> Option<Self> {
        let mut taken = TakenIds::default();
        let closed = ClosedWindows::from_document(document.windows, rules, symbol, &mut taken)?;
        let ids = document.head.open.iter().flat_map(|slot| &slot.ids);
        ids.for_each(|page| taken.insert(*page));
        let fits = document.head.arming.len() == rules.strategies.len();
        fits.then_some(Self {
            head: document.head,
            probabilities: document.probabilities,
            closed,
            taken,
            spare: Vec::new(),
            probabilities_digest: None,
        })
    }
}

fn hash(value: &impl Serialize, seed: u64, scratch: &mut Vec<u8>) -> Result<u128, postcard::Error> {
    scratch.clear();
    let bytes = postcard::to_extend(value, std::mem::take(scratch))?;
    let digest = xxh3_128_with_seed(&bytes, seed);
    *scratch = bytes;
    Ok(digest)
}

impl Head {
    /// Whether a trade stands after the last one in (event time, trade id, venue name).
    fn stands_last(&self, trade: &LastTrade) -> bool {
        let Some(last) = &self.last else { return true };
        let name = |trade: &LastTrade| self.venues.get(usize::from(trade.venue));
        let by_time = (trade.event_time_us, trade.trade_id).cmp(&(last.event_time_us, last.trade_id));
        by_time.then_with(|| name(trade).cmp(&name(last))).is_gt()
    }

    /// The price of an instant: VWAP of the last closed slot.
    pub(crate) fn closing_price(&self) -> Option<ClosingPrice> {
        self.closing
            .map(|(slot_end_us, price)| ClosingPrice { price, slot_end_us })
    }

    /// The first grid instant at or after the end of a slot is looked at.
    fn schedule_grid(&mut self, end_us: i64) {
        let grid_us = end_us + (-end_us).rem_euclid(GRID_US);
        self.next_grid_us = Some(self.next_grid_us.map_or(grid_us, |planned| planned.min(grid_us)));
    }

    /// Whether a window of `span_us` that ends now began after the symbol's first slot did.
    pub(crate) fn is_full(&self, span_us: i64, now_us: i64) -> bool {
        self.first_closed_second
            .is_some_and(|second| second * MICROS_PER_SECOND <= now_us - span_us)
    }

    /// The indicators at the close of a slot; `None` before the first.
    pub(crate) fn snapshot(&self, now_us: i64, rules: &Rules) -> Option<IndicatorSnapshot<'_>> {
        let (units, (_, price)) = (self.units?, self.closing?);
        let profile = self
            .profile
            .as_ref()
            .filter(|_| self.is_full(rules.profile_window_us(), now_us));
        let anchored = self.anchored_vwap.moments();
        Some(IndicatorSnapshot {
            time_us: now_us,
            price,
            tick: price_as_f64(units.tick),
            high: self.vwap.high().ok_or(Unavailable::NoVolume),
            low: self.vwap.low().ok_or(Unavailable::NoVolume),
            window_trades: self.vwap.moments.trades,
            vwap: self.read_vwap(price, units, now_us, rules),
            anchored_vwap: anchored.and_then(|moments| VwapReading::at(moments, price, units.tick)),
            range: self.range.read(),
            bars: Some(&self.range),
            volatility: self.volatility.read(),
            profile,
        })
    }

    fn read_vwap(&self, price: f64, units: PriceUnits, now_us: i64, rules: &Rules) -> Reading<VwapReading> {
        if !self.is_full(rules.vwap_window_us(), now_us) {
            return Err(Unavailable::Warming);
        }
        VwapReading::at(&self.vwap.moments, price, units.tick)
    }

    /// Inputs are ready where the VWAP window is full and no gap reaches into it.
    /// They are never stale: the newest of them is the slot that just closed.
    fn inputs_ready(&self, now_us: i64, rules: &Rules) -> bool {
        let span_us = rules.vwap_window_us();
        self.is_full(span_us, now_us) && !self.gaps.overlap(now_us - span_us, now_us)
    }
}

/// The earliest instant at which a second that just opened matters: its end.
pub(crate) const fn due_of_new_second(event_time_us: i64) -> i64 {
    slot_end_us(second_of(event_time_us))
}
