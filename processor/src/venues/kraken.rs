//! Kraken, channel `trade`, protocol versions 1 (arrays, <https://docs.kraken.com/api/docs/websocket-v1/trade>) and 2
//! (objects, <https://docs.kraken.com/api/docs/websocket-v2/trade>).
//!
//! Sides are the taker's. Version 1 has no ids: they come from the time, and holes cannot be seen. Version 2 sends
//! prices as JSON numbers; they are cut out as text.

use std::borrow::Cow;

use assay_engine::Side;
use assay_engine::fixed_point;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Message, Messages, decimal_text, malformed, microseconds, shape};
use crate::feed::{InvalidTrade, OwnedTrade, PrintedTrade, TimeIds};

/// Messages of one connection.
#[derive(Debug, Default)]
pub struct Kraken {
    ids: TimeIds,
}

#[derive(Deserialize)]
struct Kind<'a> {
    /// Version 1's control messages.
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    /// Version 2's data and heartbeats.
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    /// Version 2's answers.
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct TradesV2<'a> {
    #[serde(borrow)]
    data: Vec<TradeV2<'a>>,
}

#[derive(Deserialize)]
struct TradeV2<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
    trade_id: u64,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
}

impl Messages for Kraken {
    fn read(&mut self, json: &str, received_us: Option<i64>) -> Message {
        if json.starts_with('[') {
            return self.read_v1(json, received_us);
        }
        let Some(kind) = shape::<Kind<'_>>(json) else {
            return malformed();
        };
        match (kind.channel.as_deref(), kind.event.or(kind.method)) {
            (Some("trade"), None) => read_v2(json, received_us).unwrap_or_else(malformed),
            (Some(other), _) => Message::Other(other.to_owned()),
            (None, Some(control)) => Message::Other(control.into_owned()),
            (None, None) => Message::Other("no channel".to_owned()),
        }
    }
}

impl Kraken {
    /// `[channel id, trades, channel name, pair]`; other channels may have more elements.
    fn read_v1(&mut self, json: &str, received_us: Option<i64>) -> Message {
        let Some(frame) = shape::<Vec<&RawValue>>(json) else {
            return malformed();
        };
        let [_, trades, channel, pair] = frame.as_slice() else {
            return Message::Other("frame".to_owned());
        };
        match shape::<Cow<'_, str>>(channel.get()).as_deref() {
            Some("trade") => self.trades_v1(trades, pair, received_us).unwrap_or_else(malformed),
            Some(other) => Message::Other(other.to_owned()),
            None => malformed(),
        }
    }

    fn trades_v1(&mut self, trades: &RawValue, pair: &RawValue, received_us: Option<i64>) -> Option<Message> {
        let pair: Cow<'_, str> = shape(pair.get())?;
        let trades: Vec<Vec<Cow<'_, str>>> = shape(trades.get())?;
        let trades: Option<Vec<_>> = trades
            .iter()
            .map(|trade| self.trade_v1(trade, &pair, received_us))
            .collect();
        trades.map(told)
    }

    /// `[price, volume, time, side, order type, miscellaneous]`.
    fn trade_v1(
        &mut self,
        trade: &[Cow<'_, str>],
        pair: &str,
        received_us: Option<i64>,
    ) -> Option<Result<OwnedTrade, InvalidTrade>> {
        let [price, quantity, time, side, ..] = trade else {
            return None;
        };
        // Seconds with six decimals: a scaled number of seconds is hundredths of microseconds.
        let event_time_us = fixed_point::parse(time).ok()? / 100;
        let side = match &**side {
            "b" => Side::Buy,
            "s" => Side::Sell,
            _ => return None,
        };
        Some(OwnedTrade::try_from(PrintedTrade {
            venue: "kraken",
            symbol: pair,
            trade_id: self.ids.next(pair, event_time_us)?,
            price,
            quantity,
            side,
            event_time_us,
            received_time_us: received_us.unwrap_or(event_time_us),
        }))
    }
}

/// A message about no trade is named, so that every line of a recording is accounted for.
fn told(trades: Vec<Result<OwnedTrade, InvalidTrade>>) -> Message {
    if trades.is_empty() {
        Message::Other("trade message without trades".to_owned())
    } else {
        Message::Trades(trades)
    }
}

fn read_v2(json: &str, received_us: Option<i64>) -> Option<Message> {
    let message: TradesV2<'_> = shape(json)?;
    let trades: Option<Vec<_>> = message.data.iter().map(|trade| trade_v2(trade, received_us)).collect();
    trades.map(told)
}

fn trade_v2(trade: &TradeV2<'_>, received_us: Option<i64>) -> Option<Result<OwnedTrade, InvalidTrade>> {
    let event_time_us = microseconds(&trade.timestamp)?;
    let side = match &*trade.side {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        _ => return None,
    };
    Some(OwnedTrade::try_from(PrintedTrade {
        venue: "kraken",
        symbol: &trade.symbol,
        trade_id: trade.trade_id,
        price: decimal_text(trade.price),
        quantity: decimal_text(trade.qty),
        side,
        event_time_us,
        received_time_us: received_us.unwrap_or(event_time_us),
    }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn trades(message: Message) -> Vec<OwnedTrade> {
        match message {
            Message::Trades(trades) => trades.into_iter().map(Result::unwrap).collect(),
            Message::Other(kind) => panic!("{kind}"),
        }
    }

    #[test]
    fn a_frame_of_version_1_may_hold_several_trades() {
        let json = r#"[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""],["6060.00000","0.02455000","1534614057.321597","b","l",""]],"trade","XBT/USD"]"#;
        let first = OwnedTrade {
            venue: "kraken".into(),
            symbol: "XBT/USD".into(),
            trade_id: 1_534_614_057_321_597_000,
            price: 554_120_000_000,
            quantity: 15_850_568,
            side: Side::Sell,
            event_time_us: 1_534_614_057_321_597,
            received_time_us: 1_534_614_057_321_597,
        };
        let second = OwnedTrade {
            trade_id: first.trade_id + 1,
            price: 606_000_000_000,
            quantity: 2_455_000,
            side: Side::Buy,
            ..first.clone()
        };
        assert_eq!(trades(Kraken::default().read(json, None)), [first, second]);
    }

    #[test]
    fn numbers_of_version_2_keep_every_digit() {
        let json = r#"{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.51170000,"qty":40000000.12345678,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#;
        let wanted = OwnedTrade {
            venue: "kraken".into(),
            symbol: "MATIC/USD".into(),
            trade_id: 4_665_906,
            price: 51_170_000,
            quantity: 4_000_000_012_345_678,
            side: Side::Sell,
            event_time_us: 1_695_628_177_708_706,
            received_time_us: 9,
        };
        assert_eq!(trades(Kraken::default().read(json, Some(9))), [wanted]);
    }

    #[rstest]
    #[case(
        r#"{"connectionID":1,"event":"systemStatus","status":"online","version":"1.9.0"}"#,
        "systemStatus"
    )]
    #[case(
        r#"{"channelID":0,"channelName":"trade","event":"subscriptionStatus","pair":"XBT/USD"}"#,
        "subscriptionStatus"
    )]
    #[case(r#"{"event":"heartbeat"}"#, "heartbeat")]
    #[case(r#"{"channel":"heartbeat"}"#, "heartbeat")]
    #[case(r#"{"channel":"status","type":"update","data":[{"system":"online"}]}"#, "status")]
    #[case(r#"{"method":"subscribe","success":true}"#, "subscribe")]
    #[case(r#"[0,["1","2"],"spread","XBT/USD"]"#, "spread")]
    #[case(r#"[0,{"a":[]},{"b":[]},"book-10","XBT/USD"]"#, "frame")]
    #[case(
        r#"[0,[["1","1","1534614057.321597","x","l",""]],"trade","XBT/USD"]"#,
        "malformed message"
    )]
    #[case(r#"[0,[["1","1"]],"trade","XBT/USD"]"#, "malformed message")]
    #[case("[0,", "malformed message")]
    #[case(r#"[0,[],"trade","XBT/USD"]"#, "trade message without trades")]
    #[case(r#"{"channel":"trade","type":"snapshot","data":[]}"#, "trade message without trades")]
    #[case("{}", "no channel")]
    fn anything_else_is_named_and_not_judged(#[case] json: &str, #[case] kind: &str) {
        assert_eq!(Kraken::default().read(json, None), Message::Other(kind.to_owned()));
    }
}
