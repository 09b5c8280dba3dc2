//! The decoder: its fast path and its full one read alike, and what they read survives being written.

use assay_engine::{Record, Trade};

use crate::ingest::decode::{DecodeScratch, decode};
use crate::ingest::encode::CanonicalJson;
use crate::ingest::fields;
use crate::ingest::scan;

/// Below this the fast path's arithmetic has room for every digit: it may not decline a canonical trade.
const FAST_LIMIT: i64 = 1_000_000_000_000_000_000;

/// Decodes any bytes by both ways.
pub fn check(value: &[u8]) {
    if value.len() >= fields::MAX_VALUE_BYTES {
        return;
    }
    let (mut one, mut other) = (DecodeScratch::default(), DecodeScratch::default());
    let decoded = decode(value, &mut one);
    // The fast path declines white space, so this goes the long way.
    let spaced = [b" ", value].concat();
    assert_eq!(scan(&spaced), None, "the fast path must decline white space");
    assert_eq!(
        decoded,
        decode(&spaced, &mut other),
        "the fast path and the full decoder differ"
    );
    if let Ok(record) = decoded {
        check_record(&record);
    }
}

/// A record that was accepted is valid, and its canonical form decodes to itself.
pub fn check_record(record: &Record<'_>) {
    let canonical = CanonicalJson(record).to_string();
    let mut scratch = DecodeScratch::default();
    assert_eq!(
        decode(canonical.as_bytes(), &mut scratch).as_ref(),
        Ok(record),
        "{canonical}"
    );
    if let Record::Trade(trade) = record {
        check_trade(trade);
        let is_small =
            trade.price < FAST_LIMIT && trade.quantity < FAST_LIMIT && trade.trade_id < FAST_LIMIT.unsigned_abs();
        assert!(
            !is_small || scan(canonical.as_bytes()).is_some(),
            "the fast path declines {canonical}"
        );
    }
}

fn check_trade(trade: &Trade<'_>) {
    assert!(trade.price > 0 && trade.quantity > 0, "{trade:?}");
    assert!(
        fields::is_symbol(trade.symbol) && fields::is_venue(trade.venue),
        "{trade:?}"
    );
    for time in [trade.event_time_us, trade.received_time_us] {
        assert!(fields::TIMES_US.contains(&time), "{trade:?}");
    }
}
