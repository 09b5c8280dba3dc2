//! Ticks between records: event time that is confirmed moves on in partitions where nothing trades.

use super::{FeedRecord, InputError, Records};

/// Puts a tick behind the first record at or past each whole multiple of `interval_us`.
///
/// Inputs are in arrival order, so the newest event time seen is confirmed but for the lateness that the pipeline allows.
#[derive(Debug)]
pub struct Ticks<I> {
    records: I,
    interval_us: i64,
    confirmed_us: Option<i64>,
    due: Option<i64>,
}

/// Adds ticks to records, or none without an interval.
#[must_use]
pub fn with_ticks(records: Records, interval_us: Option<i64>) -> Records {
    match interval_us.filter(|interval| *interval > 0) {
        Some(interval_us) => Box::new(Ticks {
            records,
            interval_us,
            confirmed_us: None,
            due: None,
        }),
        None => records,
    }
}

impl<I: Iterator<Item = Result<FeedRecord, InputError>>> Iterator for Ticks<I> {
    type Item = Result<FeedRecord, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event_time_us) = self.due.take() {
            return Some(Ok(FeedRecord::Tick { event_time_us }));
        }
        let record = self.records.next()?;
        if let Ok(FeedRecord::Trade(trade)) = &record {
            let boundary = trade.event_time_us - trade.event_time_us.rem_euclid(self.interval_us);
            self.due = self
                .confirmed_us
                .is_some_and(|confirmed| boundary > confirmed)
                .then_some(boundary);
            self.confirmed_us = self.confirmed_us.max(Some(boundary));
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests_support::trade_at;
    use super::*;

    #[test]
    fn each_whole_interval_is_confirmed_once_and_never_backwards() {
        let times = [100, 900, 1_100, 1_050, 900, 3_999];
        let trades = times.map(|time| Ok(FeedRecord::Trade(trade_at("A", 1, time))));
        let records = with_ticks(Box::new(trades.into_iter()), Some(1_000));
        let seen: Vec<_> = records
            .map(|record| match record.unwrap() {
                FeedRecord::Trade(trade) => format!("trade {}", trade.event_time_us),
                FeedRecord::Tick { event_time_us } => format!("tick {event_time_us}"),
                other => panic!("{other:?}"),
            })
            .collect();
        let wanted = [
            "trade 100",
            "trade 900",
            "trade 1100",
            "tick 1000",
            "trade 1050",
            "trade 900",
            "trade 3999",
            "tick 3000",
        ];
        assert_eq!(seen, wanted);
    }
}
