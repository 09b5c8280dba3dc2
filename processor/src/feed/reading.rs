//! Files of one format each to records: recorded CSV, Coinbase's CSV, canonical lines, and messages of a venue.

use std::io::BufRead;

use assay_engine::{Record, Side};
use csv::StringRecord;

use super::{FeedRecord, InputError, OwnedTrade, PrintedTrade, Records, TimeIds};
use crate::ingest::decode::{DecodeScratch, decode};
use crate::venues::{Message, Messages};

/// Columns of the recorded CSV.
pub(super) const RECORDED_COLUMNS: [&str; 7] = ["symbol", "trade_id", "ts_us", "price", "qty", "side", "recv_ns"];
/// Columns of Coinbase's CSV.
pub(super) const COINBASE_COLUMNS: [&str; 5] = ["symbol", "side", "price", "amount", "timestamp"];

/// Rows of [`RECORDED_COLUMNS`], all of one venue. Without `recv_ns` a trade counts as received when it happened.
#[must_use]
pub(super) fn recorded_csv(path: &str, reader: Box<dyn BufRead + Send>, venue: &str) -> Records {
    let venue = venue.to_owned();
    rows(path, reader, &RECORDED_COLUMNS, move |row| {
        let event_time_us = number("ts_us", &row[2])?;
        let received_ns: Option<i64> = Some(&row[6])
            .filter(|text| !text.is_empty())
            .map(|text| number("recv_ns", text))
            .transpose()?;
        owned(PrintedTrade {
            venue: &venue,
            symbol: &row[0],
            trade_id: number("trade_id", &row[1])?,
            price: &row[3],
            quantity: &row[4],
            side: side(&row[5])?,
            event_time_us,
            received_time_us: received_ns.map_or(event_time_us, |nanoseconds| nanoseconds.div_euclid(1000)),
        })
    })
}

/// Rows of [`COINBASE_COLUMNS`], which have neither ids nor times of receipt: ids come from the time ([`TimeIds`]).
///
/// The format does not say whose side it prints; it is taken as the taker's.
#[must_use]
pub(super) fn coinbase_csv(path: &str, reader: Box<dyn BufRead + Send>) -> Records {
    let mut ids = TimeIds::default();
    rows(path, reader, &COINBASE_COLUMNS, move |row| {
        let time: jiff::Timestamp = row[4].parse().map_err(|error| format!("timestamp: {error}"))?;
        let event_time_us = time.as_microsecond();
        owned(PrintedTrade {
            venue: "coinbase",
            symbol: &row[0],
            trade_id: ids
                .next(&row[0], event_time_us)
                .ok_or("more than 1000 trades in one microsecond")?,
            price: &row[2],
            quantity: &row[3],
            side: side(&row[1])?,
            event_time_us,
            received_time_us: event_time_us,
        })
    })
}

/// One canonical record a line. A line that does not decode is passed on as it is.
#[must_use]
pub(super) fn canonical_lines(path: &str, reader: Box<dyn BufRead + Send>) -> Records {
    let mut scratch = DecodeScratch::default();
    lines(path, reader, move |line| {
        let record = match decode(line.as_bytes(), &mut scratch) {
            Ok(Record::Trade(trade)) => FeedRecord::Trade(OwnedTrade::from(trade)),
            Ok(Record::Tick { event_time_us }) => FeedRecord::Tick { event_time_us },
            Ok(Record::Gap { symbol, from_us, to_us }) => FeedRecord::Gap {
                symbol: symbol.to_owned(),
                from_us,
                to_us,
            },
            Err(_) => FeedRecord::Undecodable(line.as_bytes().to_vec()),
        };
        vec![record]
    })
}

/// One message of a venue a line, as it came over the wire or behind its time of receipt: `<nanoseconds> <message>`.
///
/// Whatever is no trade is passed on as skipped, by its kind.
#[must_use]
pub(super) fn venue_messages(path: &str, reader: Box<dyn BufRead + Send>, mut messages: Box<dyn Messages>) -> Records {
    lines(path, reader, move |line| {
        let (received_us, json) = split_receipt(line);
        match messages.read(json, received_us) {
            Message::Trades(trades) => trades
                .into_iter()
                .map(|trade| trade.map_or_else(|error| skipped(&error), FeedRecord::Trade))
                .collect(),
            Message::Other(kind) => vec![FeedRecord::Skipped(kind)],
        }
    })
}

fn skipped(reason: &impl ToString) -> FeedRecord {
    FeedRecord::Skipped(format!("invalid trade ({})", reason.to_string()))
}

/// The time of receipt in microseconds, where the line begins with one, and the message.
fn split_receipt(line: &str) -> (Option<i64>, &str) {
    let receipt = line
        .split_once(' ')
        .and_then(|(time, json)| Some((time.parse::<i64>().ok()?, json)));
    receipt.map_or((None, line), |(nanoseconds, json)| {
        (Some(nanoseconds.div_euclid(1000)), json)
    })
}

fn side(printed: &str) -> Result<Side, String> {
    match printed {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        other => Err(format!("side {other:?} is neither buy nor sell")),
    }
}

fn number<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{column} {text:?} is no whole number in range"))
}

fn owned(printed: PrintedTrade<'_>) -> Result<OwnedTrade, String> {
    printed
        .try_into()
        .map_err(|error: super::InvalidTrade| error.to_string())
}

/// Rows of a CSV with a known header; every row has its number of columns.
fn rows(
    path: &str,
    reader: Box<dyn BufRead + Send>,
    columns: &'static [&'static str],
    mut parse: impl FnMut(&StringRecord) -> Result<OwnedTrade, String> + Send + 'static,
) -> Records {
    let path = path.to_owned();
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(reader);
    Box::new(reader.into_records().zip(1..).filter_map(move |(row, number)| {
        let parsed = match row.map_err(|error| (error.to_string(), error.into_kind())) {
            Err((_, csv::ErrorKind::Io(source))) => return Some(Err(InputError::io(&path, source))),
            Err((reason, _)) => Err(reason),
            Ok(row) if number == 1 && row == *columns => return None,
            Ok(_) if number == 1 => Err(format!("the header is not {}", columns.join(","))),
            Ok(row) if row.len() != columns.len() => {
                Err(format!("it has {} columns and not {}", row.len(), columns.len()))
            }
            Ok(row) => parse(&row).map(FeedRecord::Trade),
        };
        Some(parsed.map_err(|reason| InputError::Row {
            path: path.clone(),
            row: number,
            reason,
        }))
    }))
}

/// Lines that are not empty, each to its records.
fn lines(
    path: &str,
    reader: Box<dyn BufRead + Send>,
    mut parse: impl FnMut(&str) -> Vec<FeedRecord> + Send + 'static,
) -> Records {
    let path = path.to_owned();
    Box::new(reader.lines().flat_map(move |line| match line {
        Err(source) => vec![Err(InputError::io(&path, source))],
        Ok(line) if line.trim().is_empty() => Vec::new(),
        Ok(line) => parse(line.trim()).into_iter().map(Ok).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: &'static str) -> Box<dyn BufRead + Send> {
        Box::new(text.as_bytes())
    }

    fn trades(records: Records) -> Vec<OwnedTrade> {
        let trade = |record| match record {
            Ok(FeedRecord::Trade(trade)) => trade,
            other => panic!("{other:?}"),
        };
        records.map(trade).collect()
    }

    #[test]
    fn a_recorded_row_keeps_its_decimals_and_its_clock() {
        let csv = "symbol,trade_id,ts_us,price,qty,side,recv_ns\n\
                   BTCUSDT,3735683259,1723161255342000,61837.63000000,0.02000000,sell,1723161254087896568\n\
                   SOLUSDT,7,1742944020715000,142.1,0.00012,buy,\n";
        let trades = trades(recorded_csv("a.csv", reader(csv), "binance"));
        assert_eq!(
            trades[0],
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
        );
        assert_eq!(trades[1].received_time_us, trades[1].event_time_us);
    }

    #[test]
    fn a_coinbase_row_keeps_exponents_exact_and_gets_an_id_from_its_time() {
        let csv = "\"symbol\",\"side\",\"price\",\"amount\",\"timestamp\"\r\n\
                   \"BTC-USD\",\"buy\",25741.03,3.844E-5,\"2023-09-05T16:00:01.775613Z\"\r\n\
                   \"BTC-USD\",\"buy\",25741.03,0.5,\"2023-09-05T16:00:01.775613Z\"\r\n";
        let trades = trades(coinbase_csv("b.csv", reader(csv)));
        let seen: Vec<_> = trades
            .iter()
            .map(|trade| (trade.quantity, trade.event_time_us, trade.trade_id))
            .collect();
        let time = 1_693_929_601_775_613;
        assert_eq!(
            seen,
            [
                (3_844, time, 1_693_929_601_775_613_000),
                (50_000_000, time, 1_693_929_601_775_613_001)
            ]
        );
    }

    #[test]
    fn a_bad_row_is_named_by_file_row_and_field() {
        let csv = "symbol,trade_id,ts_us,price,qty,side,recv_ns\nBTCUSDT,1,2,NaN,1,sell,\n";
        let error = recorded_csv("a.csv", reader(csv), "binance")
            .next()
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("a.csv: row 2: price \"NaN\": not a decimal number"),
            "{error}"
        );
    }

    #[test]
    fn another_header_is_refused() {
        let error = coinbase_csv("b.csv", reader("symbol,price\n"))
            .next()
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("row 1: the header is not symbol,side,price,amount,timestamp"),
            "{error}"
        );
    }

    #[test]
    fn a_row_of_another_width_is_refused_also_behind_a_header_of_that_width() {
        let errors: Vec<_> = coinbase_csv("b.csv", reader("symbol,price\nBTC-USD,5\n"))
            .map(|row| row.unwrap_err().to_string())
            .collect();
        assert!(errors[1].contains("row 2: it has 2 columns and not 5"), "{errors:?}");
    }

    #[test]
    fn canonical_lines_come_back_and_others_are_passed_on() {
        let lines = "{\"v\":1,\"kind\":\"tick\",\"event_time_us\":7}\n\n{\"v\":2}\n";
        let records: Vec<_> = canonical_lines("c.jsonl", reader(lines)).map(Result::unwrap).collect();
        let wanted = [
            FeedRecord::Tick { event_time_us: 7 },
            FeedRecord::Undecodable(b"{\"v\":2}".to_vec()),
        ];
        assert_eq!(records, wanted);
    }

    #[test]
    fn a_recording_may_put_the_time_of_receipt_before_the_message() {
        assert_eq!(
            split_receipt("1723161253937085768 {\"a\": 1}"),
            (Some(1_723_161_253_937_085), "{\"a\": 1}")
        );
        assert_eq!(split_receipt("{\"a\": 1}"), (None, "{\"a\": 1}"));
    }
}
