//! Recorded trades against figures computed with decimal arithmetic, outside this code base.

use std::io::Read;
use std::path::Path;

use assay_engine::fixed_point::{self, Decimal};
use assay_engine::indicators::{Moments, VolumeProfile};

use crate::support::{Run, SECOND_US, settings};
use assay_engine::{Record, Side, Trade};

struct Recorded {
    symbol: String,
    trade_id: u64,
    time_us: i64,
    price: i64,
    quantity: i64,
    side: Side,
}

fn recorded(file: &str) -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/trades")
        .join(file);
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("gzip text");
    text.lines().skip(1).map(parse_line).collect()
}

/// `symbol,trade_id,ts_us,price,qty,side,recv_ns`
fn parse_line(line: &str) -> Recorded {
    let fields: Vec<&str> = line.split(',').collect();
    Recorded {
        symbol: fields[0].to_owned(),
        trade_id: fields[1].parse().expect("an id"),
        time_us: fields[2].parse().expect("a time"),
        price: fixed_point::parse(fields[3]).expect("a price"),
        quantity: fixed_point::parse(fields[4]).expect("a quantity"),
        side: if fields[5] == "buy" { Side::Buy } else { Side::Sell },
    }
}

/// One line of figures: trades, volume, VWAP, standard deviation, low..high, POC, VAL..VAH.
fn whole_file_figures(file: &str, symbol: &str, bucket: i64) -> String {
    let (mut moments, mut profile) = (Moments::default(), VolumeProfile::new(bucket * fixed_point::SCALE));
    let trades = recorded(file);
    let trades: Vec<_> = trades.iter().filter(|trade| trade.symbol == symbol).collect();
    for trade in &trades {
        moments.add_trade(trade.price, trade.quantity, trade.side == Side::Buy);
        profile.add_trade(trade.price, trade.quantity, trade.side == Side::Buy);
    }
    let area = profile.value_area().expect("trades");
    let low = trades.iter().map(|trade| trade.price).min().unwrap();
    let high = trades.iter().map(|trade| trade.price).max().unwrap();
    format!(
        "{} {} {} {} {}..{} {} {}..{}",
        moments.trades,
        Decimal(moments.quantity().try_into().expect("a small quantity")),
        moments.vwap_text(10).expect("trades"),
        moments.standard_deviation_text(8).expect("trades"),
        Decimal(low),
        Decimal(high),
        Decimal(area.point_of_control),
        Decimal(area.low),
        Decimal(area.high),
    )
}

const AUGUST: &str = "binance_spot_btc_eth_20240808.csv.gz";
const MARCH: &str = "binance_spot_btc_eth_sol_20250325.csv.gz";

#[test]
fn whole_files_give_the_published_figures() {
    assert_eq!(
        whole_file_figures(AUGUST, "BTCUSDT", 10),
        "19904 437.91552 61671.5516066542 63.31874398 61556.04..61860.8 61650 61590..61720"
    );
    assert_eq!(
        whole_file_figures(AUGUST, "ETHUSDT", 1),
        "14515 4272.7241 2680.7743393382 2.82680543 2673.6..2685.37 2683 2678..2685"
    );
    assert_eq!(
        whole_file_figures(MARCH, "BTCUSDT", 10),
        "6770 77.76187 87239.8634886069 13.73024501 87200.18..87262 87240 87230..87260"
    );
}

/// The engine's own windows over the same trades: longer than the recording, so that they hold all of it.
#[test]
fn the_rolling_windows_hold_the_same_figures() {
    let mut run = Run::new(&settings());
    let trades = recorded(AUGUST);
    for trade in &trades {
        run.step(&Record::Trade(Trade {
            venue: "binance",
            symbol: &trade.symbol,
            trade_id: trade.trade_id,
            price: trade.price,
            quantity: trade.quantity,
            side: trade.side,
            event_time_us: trade.time_us,
            received_time_us: trade.time_us,
        }));
    }
    let newest = trades.iter().map(|trade| trade.time_us).max().unwrap();
    run.step(&Record::Tick {
        event_time_us: newest + 4 * SECOND_US,
    });
    assert_eq!(run.state.counters().accepted, 34_419);
    let views = run.state.views();
    let field = |symbol: &str, name: &str| {
        let view = views.iter().find(|view| view.symbol == symbol).expect("a view");
        view.closed
            .iter()
            .find(|(field, _)| *field == name)
            .expect("a field")
            .1
            .clone()
    };
    for (symbol, trades, low, high) in [
        ("BTCUSDT", "19904", "61556.04", "61860.8"),
        ("ETHUSDT", "14515", "2673.6", "2685.37"),
    ] {
        assert_eq!(field(symbol, "trade_count"), trades);
        assert_eq!(
            (field(symbol, "low").as_str(), field(symbol, "high").as_str()),
            (low, high)
        );
        assert!(
            field(symbol, "reasons").contains(r#""vwap":"warming""#),
            "eleven minutes do not fill the window"
        );
        let anchored: f64 = field(symbol, "anchored_vwap")
            .parse()
            .expect("midnight lies inside the recording");
        assert!(anchored > 2_000.0);
    }
}
