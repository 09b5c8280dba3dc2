//! Which partition a record goes to, with which key and value.

use assay_engine::Record;

use super::FeedRecord;
use super::murmur2::partition_of;
use crate::ingest::encode::CanonicalJson;

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Partition.
    pub partition: i32,
    /// Kafka's partitioner would choose this partition for the key by itself.
    pub by_key: bool,
    /// The symbol; empty where the record has none.
    pub key: String,
    /// The value's bytes.
    pub value: Vec<u8>,
}

/// The log entries of a record: one for a trade or a gap, one in every partition for a tick, none for what is skipped.
#[must_use]
pub fn route(record: &FeedRecord, partitions: i32) -> Vec<Routed> {
    match record {
        FeedRecord::Trade(trade) => vec![Routed {
            by_key: true,
            ..keyed(&trade.symbol, &Record::Trade(trade.as_trade()), partitions)
        }],
        FeedRecord::Gap { symbol, from_us, to_us } => {
            vec![keyed(
                symbol,
                &Record::Gap {
                    symbol,
                    from_us: *from_us,
                    to_us: *to_us,
                },
                partitions,
            )]
        }
        FeedRecord::Tick { event_time_us } => {
            let value = encoded(&Record::Tick {
                event_time_us: *event_time_us,
            });
            (0..partitions)
                .map(|partition| explicit(partition, value.clone()))
                .collect()
        }
        FeedRecord::Undecodable(value) => vec![explicit(0, value.clone())],
        FeedRecord::Skipped(_) => Vec::new(),
    }
}

fn keyed(symbol: &str, record: &Record<'_>, partitions: i32) -> Routed {
    let partition = partition_of(symbol.as_bytes(), partitions);
    Routed {
        partition,
        by_key: false,
        key: symbol.to_owned(),
        value: encoded(record),
    }
}

fn explicit(partition: i32, value: Vec<u8>) -> Routed {
    Routed {
        partition,
        by_key: false,
        key: String::new(),
        value,
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    CanonicalJson(record).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_goes_to_every_partition_and_a_gap_to_its_symbols() {
        let tick = route(&FeedRecord::Tick { event_time_us: 5 }, 3);
        assert_eq!(tick.iter().map(|entry| entry.partition).collect::<Vec<_>>(), [0, 1, 2]);
        let gap = route(
            &FeedRecord::Gap {
                symbol: "BTCUSDT".into(),
                from_us: 1,
                to_us: 2,
            },
            12,
        );
        assert_eq!(
            gap.iter().map(|entry| entry.partition).collect::<Vec<_>>(),
            [partition_of(b"BTCUSDT", 12)]
        );
    }

    #[test]
    fn what_is_skipped_goes_nowhere_and_what_does_not_decode_goes_as_it_is() {
        assert_eq!(route(&FeedRecord::Skipped("heartbeat".into()), 3), []);
        let routed = route(&FeedRecord::Undecodable(b"{".to_vec()), 3);
        assert_eq!(
            routed.first().map(|entry| (entry.partition, entry.value.as_slice())),
            Some((0, b"{".as_slice()))
        );
    }
}
