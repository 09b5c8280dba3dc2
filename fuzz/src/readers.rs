//! Readers of files: every row and line is a valid trade or a counted reason, and trades survive being written.

use std::fmt::Write;

use assay_engine::fixed_point::Decimal;
use assay_engine::{Record, Side};

use crate::decoder::check_record;
use crate::feed::gaps::with_gaps;
use crate::feed::quality::Quality;
use crate::feed::{
    CSV_VENUE, FeedRecord, InputError, OwnedTrade, Records, Venue, canonical_lines, coinbase_csv, coinbase_header,
    recorded_csv, recorded_header, venue_messages,
};
use crate::venues::Message;

type Items = Vec<Result<FeedRecord, InputError>>;

/// The first byte chooses the format and whether a CSV's header is put before the rest.
pub fn check(input: &[u8]) {
    let Some((&choice, text)) = input.split_first() else {
        return;
    };
    let headed = choice >= 128;
    match choice % 6 {
        0 => check_csv(
            &with_header(headed, &recorded_header(), text),
            &recorded_header(),
            recorded_csv,
        ),
        1 => check_csv(
            &with_header(headed, &coinbase_header(), text),
            &coinbase_header(),
            coinbase_csv,
        ),
        2 => check_canonical(text),
        3 => check_messages(text, Venue::Binance),
        4 => check_messages(text, Venue::Coinbase),
        _ => check_messages(text, Venue::Kraken),
    }
}

fn with_header(headed: bool, header: &str, text: &[u8]) -> Vec<u8> {
    if headed {
        [header.as_bytes(), b"\n", text].concat()
    } else {
        text.to_vec()
    }
}

fn check_csv(text: &[u8], header: &str, read: fn(Vec<u8>) -> Records) {
    let rows = byte_rows(text);
    let items: Items = read(text.to_vec()).collect();
    let has_header = rows.first().is_some_and(|row| row.iter().eq(header.split(',')));
    assert_eq!(
        items.len() + usize::from(has_header),
        rows.len(),
        "rows were lost or invented"
    );
    for (item, number) in items.iter().zip(1 + u64::from(has_header)..) {
        if let Err(error) = item {
            assert!(is_at_row(error, number), "row {number}: {error:?}");
        }
    }
    check_items(&items);
    check_written_again(&items);
}

/// The rows by the plainest use of the CSV library, and for texts without quotes by their lines.
fn byte_rows(text: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let fields = |row: csv::ByteRecord| {
        row.iter()
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect()
    };
    let rows: Vec<Vec<String>> = reader
        .byte_records()
        .map(|row| fields(row.expect("bytes in memory")))
        .collect();
    if !text.contains(&b'"') {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .filter(|line| !line.is_empty());
        assert_eq!(rows.len(), lines.count(), "a row is a line where nothing is quoted");
    }
    rows
}

fn is_at_row(error: &InputError, wanted: u64) -> bool {
    matches!(error, InputError::Row { row, reason, .. } if *row == wanted && !reason.is_empty())
}

fn check_canonical(text: &[u8]) {
    let items: Items = canonical_lines(text.to_vec()).collect();
    assert_eq!(items.len(), lines(text).len(), "lines were lost or invented");
    check_items(&items);
}

fn check_messages(text: &[u8], venue: Venue) {
    let items: Items = venue_messages(text.to_vec(), venue).collect();
    assert!(
        items.len() >= lines(text).len(),
        "a line gave neither a trade nor a reason"
    );
    check_items(&items);
    check_items(&with_gaps(venue_messages(text.to_vec(), venue)).collect());
    let mut messages = venue.messages();
    for line in lines(text)
        .into_iter()
        .filter_map(|line| std::str::from_utf8(line).ok())
    {
        match messages.read(line.trim(), None) {
            Message::Trades(trades) => assert!(!trades.is_empty(), "{line} gave nothing"),
            Message::Other(_) => {}
        }
    }
}

/// Lines that hold more than white space; what is no UTF-8 is a line, too.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let is_blank = |line: &&[u8]| std::str::from_utf8(line).is_ok_and(|line| line.trim().is_empty());
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty() && !is_blank(line)).collect()
}

/// Everything read is counted by its kind, and every record is one that the decoder reads back.
fn check_items(items: &Items) {
    let mut quality = Quality::new(true);
    for record in items.iter().flatten() {
        quality.observe(record);
        match record {
            FeedRecord::Trade(trade) => check_record(&Record::Trade(trade.as_trade())),
            FeedRecord::Tick { event_time_us } => check_record(&Record::Tick {
                event_time_us: *event_time_us,
            }),
            FeedRecord::Gap { symbol, from_us, to_us } => {
                check_record(&Record::Gap {
                    symbol,
                    from_us: *from_us,
                    to_us: *to_us,
                });
            }
            FeedRecord::Undecodable(line) => assert!(!line.is_empty()),
            FeedRecord::Skipped(_) => {}
        }
    }
    let counted =
        quality.trades + quality.ticks + quality.gaps + quality.undecodable + quality.skipped.values().sum::<u64>();
    assert_eq!(counted, items.iter().flatten().count() as u64, "{quality}");
}

/// Trades written as recorded CSV read back as they were.
fn check_written_again(items: &Items) {
    let trades: Vec<&OwnedTrade> = items.iter().flatten().filter_map(recordable).collect();
    let mut text = recorded_header() + "\n";
    for trade in &trades {
        write_row(&mut text, trade);
    }
    let read: Items = recorded_csv(text.into_bytes()).collect();
    assert_eq!(read.len(), trades.len());
    for (read, trade) in read.into_iter().zip(trades) {
        let written = OwnedTrade {
            venue: CSV_VENUE.to_owned(),
            ..trade.clone()
        };
        assert_eq!(read.expect("a row of a valid trade"), FeedRecord::Trade(written));
    }
}

/// A trade whose time of receipt fits in the nanoseconds of a recorded row: until the year 2262.
fn recordable(record: &FeedRecord) -> Option<&OwnedTrade> {
    match record {
        FeedRecord::Trade(trade) => trade.received_time_us.checked_mul(1000).map(|_| trade),
        _ => None,
    }
}

fn write_row(text: &mut String, trade: &OwnedTrade) {
    let OwnedTrade {
        symbol,
        trade_id,
        event_time_us,
        received_time_us,
        ..
    } = trade;
    let (price, quantity) = (Decimal(trade.price), Decimal(trade.quantity));
    let side = match trade.side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    };
    writeln!(
        text,
        "{symbol},{trade_id},{event_time_us},{price},{quantity},{side},{received_time_us}000"
    )
    .expect("text");
}
