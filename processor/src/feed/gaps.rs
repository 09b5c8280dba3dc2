//! Missing trades: where a venue numbers its trades without holes, a hole means that trades were lost.

use std::collections::HashMap;

use super::{FeedRecord, InputError, OwnedTrade, Records};
use crate::ingest::fields;

/// The newest trade seen of each symbol.
#[derive(Debug, Default)]
pub struct IdSequences(HashMap<String, (u64, i64)>);

/// What a trade's id says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdStep {
    /// The first of its symbol, or the next one.
    Next,
    /// Ids between the newest one and this one are missing; that one's event time, microseconds.
    Missing {
        /// How many.
        ids: u64,
        /// Event time of the trade before the hole.
        since_us: i64,
    },
    /// Not above the newest id: a copy, or out of order.
    Repeated,
}

impl IdSequences {
    /// Takes the next trade in arrival order.
    pub fn observe(&mut self, trade: &OwnedTrade) -> IdStep {
        let Some((newest_id, newest_us)) = self.0.get_mut(&trade.symbol) else {
            self.0
                .insert(trade.symbol.clone(), (trade.trade_id, trade.event_time_us));
            return IdStep::Next;
        };
        let step = match trade.trade_id.checked_sub(*newest_id) {
            None | Some(0) => return IdStep::Repeated,
            Some(1) => IdStep::Next,
            Some(distance) => IdStep::Missing {
                ids: distance - 1,
                since_us: *newest_us,
            },
        };
        (*newest_id, *newest_us) = (trade.trade_id, trade.event_time_us);
        step
    }
}

/// Puts a gap record before each trade that follows a hole in its symbol's ids. For dense ids only.
#[must_use]
pub fn with_gaps(records: Records) -> Records {
    let mut sequences = IdSequences::default();
    Box::new(records.flat_map(move |record| {
        let gap = record
            .as_ref()
            .ok()
            .and_then(|record| gap_before(&mut sequences, record));
        gap.map(Ok::<_, InputError>).into_iter().chain([record])
    }))
}

fn gap_before(sequences: &mut IdSequences, record: &FeedRecord) -> Option<FeedRecord> {
    let FeedRecord::Trade(trade) = record else { return None };
    let IdStep::Missing { since_us, .. } = sequences.observe(trade) else {
        return None;
    };
    // The missing trades may share the microsecond of either neighbour.
    let to_us = (trade.event_time_us.max(since_us) + 1).min(*fields::TIMES_US.end());
    (since_us < to_us).then(|| FeedRecord::Gap {
        symbol: trade.symbol.clone(),
        from_us: since_us,
        to_us,
    })
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests_support::trade_at;
    use super::*;

    #[test]
    fn a_hole_in_the_ids_of_one_symbol_is_told_before_the_trade_behind_it() {
        let trades = [
            trade_at("A", 5, 100),
            trade_at("B", 90, 101),
            trade_at("A", 6, 110),
            trade_at("A", 9, 120),
        ];
        let records = with_gaps(Box::new(
            trades.clone().into_iter().map(|trade| Ok(FeedRecord::Trade(trade))),
        ));
        let seen: Vec<_> = records.map(Result::unwrap).collect();
        let mut wanted = trades.map(FeedRecord::Trade).to_vec();
        wanted.insert(
            3,
            FeedRecord::Gap {
                symbol: "A".into(),
                from_us: 110,
                to_us: 121,
            },
        );
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_gap_ends_within_the_times_that_a_record_may_bear() {
        let last_us = *fields::TIMES_US.end();
        let told = |since_us: i64| {
            let trades = [trade_at("A", 1, since_us), trade_at("A", 5, last_us)];
            let records = with_gaps(Box::new(trades.into_iter().map(|trade| Ok(FeedRecord::Trade(trade)))));
            records.map(Result::unwrap).find_map(|record| match record {
                FeedRecord::Gap { from_us, to_us, .. } => Some((from_us, to_us)),
                _ => None,
            })
        };
        assert_eq!(told(7), Some((7, last_us)));
        assert_eq!(told(last_us), None, "there is no instant behind it");
    }

    #[test]
    fn a_copy_is_no_hole_and_does_not_move_the_sequence_back() {
        let mut sequences = IdSequences::default();
        let steps: Vec<_> = [5, 6, 5, 7, 10]
            .iter()
            .map(|&id| sequences.observe(&trade_at("A", id, 0)))
            .collect();
        let missing = IdStep::Missing { ids: 2, since_us: 0 };
        assert_eq!(
            steps,
            [IdStep::Next, IdStep::Next, IdStep::Repeated, IdStep::Next, missing]
        );
    }
}
