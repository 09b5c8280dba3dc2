//! Coinbase Exchange, channel `matches`: <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels>.
//!
//! `side` is the maker's, so the taker's is the other. `last_match` is the newest trade at the time of subscribing: a
//! real print, and the id from which holes are counted; where it was received before, it is recognised as a copy.

use std::borrow::Cow;

use assay_engine::Side;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Message, Messages, decimal_text, malformed, microseconds, shape};
use crate::feed::{OwnedTrade, PrintedTrade};

/// Messages of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Coinbase;

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Match<'a> {
    trade_id: u64,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    size: &'a RawValue,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    product_id: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl Messages for Coinbase {
    fn read(&mut self, json: &str, received_us: Option<i64>) -> Message {
        let Some(kind) = shape::<Kind<'_>>(json) else {
            return malformed();
        };
        match kind.kind.as_deref() {
            Some("match" | "last_match") => read_match(json, received_us).unwrap_or_else(malformed),
            Some(other) => Message::Other(other.to_owned()),
            None => Message::Other("no type".to_owned()),
        }
    }
}

fn read_match(json: &str, received_us: Option<i64>) -> Option<Message> {
    let print: Match<'_> = shape(json)?;
    let event_time_us = microseconds(&print.time)?;
    let side = match &*print.side {
        "sell" => Side::Buy,
        "buy" => Side::Sell,
        _ => return None,
    };
    Some(Message::Trades(vec![OwnedTrade::try_from(PrintedTrade {
        venue: "coinbase",
        symbol: &print.product_id,
        trade_id: print.trade_id,
        price: decimal_text(print.price),
        quantity: decimal_text(print.size),
        side,
        event_time_us,
        received_time_us: received_us.unwrap_or(event_time_us),
    })]))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MATCH: &str = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":"132fb6ae","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;

    #[rstest]
    #[case("match", "sell", Side::Buy)]
    #[case("match", "buy", Side::Sell)]
    #[case("last_match", "sell", Side::Buy)]
    fn the_takers_side_is_the_other_one(#[case] kind: &str, #[case] maker: &str, #[case] taker: Side) {
        let json = MATCH
            .replace("\"match\"", &format!("\"{kind}\""))
            .replace("\"sell\"", &format!("\"{maker}\""));
        let wanted = OwnedTrade {
            venue: "coinbase".into(),
            symbol: "BTC-USD".into(),
            trade_id: 10,
            price: 40_023_000_000,
            quantity: 523_512_000,
            side: taker,
            event_time_us: 1_415_348_367_028_459,
            received_time_us: 1_415_348_367_028_459,
        };
        assert_eq!(Coinbase.read(&json, None), Message::Trades(vec![Ok(wanted)]));
    }

    #[rstest]
    #[case(
        r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}"#,
        "subscriptions"
    )]
    #[case(
        r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD"}"#,
        "heartbeat"
    )]
    #[case(r#"{"type":"error","message":"x"}"#, "error")]
    #[case(r"{}", "no type")]
    #[case("", "malformed message")]
    #[case(r#"{"type":"match","trade_id":10}"#, "malformed message")]
    fn anything_else_is_named_and_not_judged(#[case] json: &str, #[case] kind: &str) {
        assert_eq!(Coinbase.read(json, None), Message::Other(kind.to_owned()));
    }

    #[test]
    fn a_time_that_is_none_makes_the_message_malformed() {
        assert_eq!(
            Coinbase.read(&MATCH.replace("2014-11-07T", "yesterday "), None),
            malformed()
        );
    }
}
