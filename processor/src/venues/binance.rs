//! Binance spot and futures: `@trade` and `@aggTrade`, as raw streams or in the envelope of a combined one.
//!
//! <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>: `m` says that the buyer was the maker,
//! so the taker sold. Times are milliseconds, or microseconds where the connection asked for them.

use std::borrow::Cow;
use std::collections::HashMap;

use assay_engine::Side;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Message, Messages, malformed, shape};
use crate::feed::{OwnedTrade, PrintedTrade};

/// Times from here on are microseconds: as milliseconds they would lie after the year 5000.
const FIRST_MICROSECONDS: i64 = 100_000_000_000_000;

/// Messages of one connection.
#[derive(Debug, Default)]
pub struct Binance {
    /// The first kind of print seen of a symbol: both kinds at once would count every trade twice.
    kinds: HashMap<String, String>,
}

/// The envelope of a combined stream, or a message without one.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
}

/// `trade` has its id in `t`, `aggTrade` in `a`.
#[derive(Deserialize)]
struct Print<'a> {
    #[serde(borrow)]
    s: Cow<'a, str>,
    t: Option<u64>,
    a: Option<u64>,
    #[serde(borrow)]
    p: Cow<'a, str>,
    #[serde(borrow)]
    q: Cow<'a, str>,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

impl Messages for Binance {
    fn read(&mut self, json: &str, received_us: Option<i64>) -> Message {
        let Some(envelope) = shape::<Envelope<'_>>(json) else {
            return malformed();
        };
        let message = envelope.data.map_or(json, RawValue::get);
        let Some(kind) = shape::<Kind<'_>>(message) else {
            return malformed();
        };
        match kind.e.as_deref() {
            Some(kind @ ("trade" | "aggTrade")) => self.read_print(kind, message, received_us),
            Some(other) => Message::Other(other.to_owned()),
            None => Message::Other("no event type".to_owned()),
        }
    }
}

impl Binance {
    fn read_print(&mut self, kind: &str, message: &str, received_us: Option<i64>) -> Message {
        let Some(print) = shape::<Print<'_>>(message) else {
            return malformed();
        };
        let Some(trade_id) = (if kind == "trade" { print.t } else { print.a }) else {
            return malformed();
        };
        if !self.takes(&print.s, kind) {
            return Message::Other(format!("{kind} beside the symbol's other kind of trades"));
        }
        let event_time_us = if print.time < FIRST_MICROSECONDS {
            print.time.saturating_mul(1000)
        } else {
            print.time
        };
        Message::Trades(vec![OwnedTrade::try_from(PrintedTrade {
            venue: "binance",
            symbol: &print.s,
            trade_id,
            price: &print.p,
            quantity: &print.q,
            side: if print.m { Side::Sell } else { Side::Buy },
            event_time_us,
            received_time_us: received_us.unwrap_or(event_time_us),
        })])
    }

    /// Whether the symbol's prints are taken from this kind.
    fn takes(&mut self, symbol: &str, kind: &str) -> bool {
        self.kinds.entry(symbol.to_owned()).or_insert_with(|| kind.to_owned()) == kind
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TRADE: &str = r#"{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}"#;

    fn read(json: &str) -> Message {
        Binance::default().read(json, Some(1_723_161_254_087_896))
    }

    fn wanted() -> OwnedTrade {
        OwnedTrade {
            venue: "binance".into(),
            symbol: "BTCUSDT".into(),
            trade_id: 3_735_683_259,
            price: 6_183_763_000_000,
            quantity: 2_000_000,
            side: Side::Sell,
            event_time_us: 1_723_161_255_342_000,
            received_time_us: 1_723_161_254_087_896,
        }
    }

    #[rstest]
    #[case::raw(TRADE.to_owned())]
    #[case::combined(format!(r#"{{"stream":"btcusdt@trade","data":{TRADE}}}"#))]
    #[case::envelope_the_other_way_round(format!(r#"{{"data":{TRADE},"stream":"btcusdt@trade"}}"#))]
    #[case::other_key_order(r#"{"T":1723161255342,"m":true,"q":"0.02000000","p":"61837.63000000","t":3735683259,"s":"BTCUSDT","X":"MARKET","E":1,"e":"trade"}"#.to_owned())]
    #[case::microseconds(TRADE.replace("1723161255342,", "1723161255342000,"))]
    fn every_form_of_a_trade_reads_alike(#[case] json: String) {
        assert_eq!(read(&json), Message::Trades(vec![Ok(wanted())]));
    }

    #[test]
    fn the_taker_bought_where_the_buyer_was_not_the_maker() {
        let Message::Trades(trades) = read(&TRADE.replace("\"m\":true", "\"m\":false")) else {
            panic!("no trade")
        };
        assert_eq!(trades[0].as_ref().map(|trade| trade.side), Ok(Side::Buy));
    }

    #[test]
    fn an_aggregate_is_a_trade_under_its_own_id() {
        let json = r#"{"e":"aggTrade","E":2,"s":"BTCUSDT","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1,"m":true,"M":true}"#;
        let Message::Trades(trades) = read(json) else {
            panic!("no trade")
        };
        assert_eq!(trades[0].as_ref().map(|trade| trade.trade_id), Ok(12_345));
    }

    #[test]
    fn a_symbol_that_comes_in_both_kinds_counts_once() {
        let mut binance = Binance::default();
        binance.read(TRADE, None);
        let aggregate = TRADE.replace("\"trade\"", "\"aggTrade\"").replace("\"t\":", "\"a\":");
        let skipped = "aggTrade beside the symbol's other kind of trades".to_owned();
        assert_eq!(binance.read(&aggregate, None), Message::Other(skipped));
    }

    #[rstest]
    #[case::book_ticker(
        r#"{"stream":"b","data":{"u":50093239212,"s":"BTCUSDT","b":"1","B":"3","a":"2","A":"1"}}"#,
        "no event type"
    )]
    #[case::snapshot(r#"{"lastUpdateId":1,"bids":[["1","2"]],"asks":[]}"#, "no event type")]
    #[case::depth(
        r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}"#,
        "depthUpdate"
    )]
    #[case::later_kind(r#"{"e":"blockTrade"}"#, "blockTrade")]
    #[case::answer(r#"{"result":null,"id":1}"#, "no event type")]
    #[case::array("[1,2]", "malformed message")]
    #[case::cut_off(&TRADE[..40], "malformed message")]
    #[case::no_id(r#"{"e":"trade","s":"A","p":"1","q":"1","T":1,"m":true}"#, "malformed message")]
    fn anything_else_is_named_and_not_judged(#[case] json: &str, #[case] kind: &str) {
        assert_eq!(read(json), Message::Other(kind.to_owned()));
    }

    #[test]
    fn a_trade_without_a_price_is_invalid_not_fatal() {
        let Message::Trades(trades) = read(&TRADE.replace("61837.63000000", "0")) else {
            panic!("no trade")
        };
        assert!(trades[0].is_err());
    }
}
