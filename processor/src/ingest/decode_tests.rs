use proptest::prelude::*;
use rstest::rstest;

use super::super::encode::CanonicalJson;
use super::*;

const CANONICAL: &str = r#"{"v":1,"venue":"binance","symbol":"BTCUSDT","trade_id":3735842983,"price":"61671.55","quantity":"0.0012","side":"buy","event_time_us":1723078800123456,"received_time_us":1723078800125000}"#;

fn canonical() -> Trade<'static> {
    Trade {
        venue: "binance",
        symbol: "BTCUSDT",
        trade_id: 3_735_842_983,
        price: 6_167_155_000_000,
        quantity: 120_000,
        side: Side::Buy,
        event_time_us: 1_723_078_800_123_456,
        received_time_us: 1_723_078_800_125_000,
    }
}

/// The canonical value with one field's JSON replaced.
fn with(field: &str, json: &str) -> String {
    let start = CANONICAL.find(&format!("\"{field}\":")).unwrap() + field.len() + 3;
    let rest = CANONICAL.get(start..).unwrap();
    let end = start + rest.find(",\"").unwrap_or(rest.len() - 1);
    format!("{}{json}{}", &CANONICAL[..start], &CANONICAL[end..])
}

fn decoded(json: &str) -> Result<String, Rejection> {
    decode(json.as_bytes(), &mut DecodeScratch::default()).map(|record| CanonicalJson(&record).to_string())
}

#[test]
fn the_canonical_form_needs_no_fallback() {
    assert_eq!(scan(CANONICAL.as_bytes()), Some(Record::Trade(canonical())));
}

#[test]
fn the_encoder_writes_the_canonical_form() {
    assert_eq!(CanonicalJson(&Record::Trade(canonical())).to_string(), CANONICAL);
}

#[rstest]
#[case::other_key_order(r#"{"side":"buy","symbol":"BTCUSDT","v":1,"trade_id":3735842983,"quantity":"0.0012","price":"61671.55","received_time_us":1723078800125000,"venue":"binance","event_time_us":1723078800123456}"#.to_owned())]
#[case::white_space(format!("\r\n {}\n", CANONICAL.replace(',', " ,\t").replace(':', ": ")))]
#[case::unknown_fields(CANONICAL.replace("\"side\"", "\"is_block\":[{\"a\":null}],\"side\""))]
#[case::numbers_as_json_numbers(with("price", "61671.55"))]
#[case::an_exponent(with("quantity", "12e-4"))]
#[case::an_exponent_in_a_text(with("price", "\"6.167155E+4\""))]
#[case::trailing_zeros(with("price", "\"61671.5500000000000000\""))]
#[case::an_escaped_symbol(with("symbol", r#""BTC\u0055SDT""#))]
#[case::an_escaped_venue(with("venue", r#""bin\u0061nce""#))]
#[case::a_null_kind(CANONICAL.replace("\"v\":1", "\"v\":1,\"kind\":null"))]
fn every_spelling_of_a_trade_decodes_alike(#[case] json: String) {
    assert_eq!(decoded(&json).as_deref(), Ok(CANONICAL));
}

#[test]
fn ticks_and_gaps_decode_and_encode() {
    let mut scratch = DecodeScratch::default();
    let tick = r#"{"v":1,"kind":"tick","event_time_us":7}"#;
    assert_eq!(
        decode(tick.as_bytes(), &mut scratch),
        Ok(Record::Tick { event_time_us: 7 })
    );
    assert_eq!(decoded(tick).as_deref(), Ok(tick));
    let gap = r#"{"v":1,"kind":"gap","symbol":"BTC/USD","from_us":5,"to_us":9}"#;
    assert_eq!(
        decode(gap.as_bytes(), &mut scratch),
        Ok(Record::Gap {
            symbol: "BTC/USD",
            from_us: 5,
            to_us: 9
        })
    );
    assert_eq!(decoded(gap).as_deref(), Ok(gap));
}

#[rstest]
#[case::nothing("", Rejection::Undecodable)]
#[case::no_json("BTCUSDT 61671.55", Rejection::Undecodable)]
#[case::an_array(r#"[1,null,"binance","BTCUSDT",1,"1","1","buy",1,1]"#, Rejection::Undecodable)]
#[case::cut_off(&CANONICAL[..100], Rejection::Undecodable)]
#[case::more_behind_it(&format!("{CANONICAL}{CANONICAL}"), Rejection::Undecodable)]
#[case::a_field_twice(&CANONICAL.replace("\"v\":1", "\"v\":1,\"v\":1"), Rejection::Undecodable)]
#[case::no_version(&CANONICAL.replace("\"v\":1,", ""), Rejection::InvalidField)]
#[case::a_later_version(&with("v", "2"), Rejection::UnknownVersion)]
#[case::a_negative_version(&with("v", "-1"), Rejection::UnknownVersion)]
#[case::an_endless_version(&with("v", "99999999999999999999999"), Rejection::UnknownVersion)]
#[case::a_version_as_text(&with("v", "\"1\""), Rejection::InvalidField)]
#[case::an_unknown_kind(r#"{"v":1,"kind":"quote"}"#, Rejection::InvalidField)]
#[case::no_symbol(&CANONICAL.replace("\"symbol\"", "\"sym\""), Rejection::InvalidField)]
#[case::an_empty_symbol(&with("symbol", "\"\""), Rejection::InvalidSymbol)]
#[case::a_lower_case_symbol(&with("symbol", "\"btcusdt\""), Rejection::InvalidSymbol)]
#[case::a_symbol_of_33_bytes(&with("symbol", &format!("\"{}\"", "A".repeat(33))), Rejection::InvalidSymbol)]
#[case::a_symbol_as_number(&with("symbol", "7"), Rejection::InvalidField)]
#[case::an_empty_venue(&with("venue", "\"\""), Rejection::InvalidField)]
#[case::a_price_of_zero(&with("price", "\"0.00\""), Rejection::NotPositive)]
#[case::a_negative_price(&with("price", "-1"), Rejection::NotPositive)]
#[case::a_hugely_negative_price(&with("price", "-1e400"), Rejection::NotPositive)]
#[case::a_huge_price(&with("price", "1e400"), Rejection::NotRepresentable)]
#[case::a_price_finer_than_the_scale(&with("price", "\"0.000000001\""), Rejection::NotRepresentable)]
#[case::a_price_beyond_the_range(&with("price", "\"92233720368.54775808\""), Rejection::NotRepresentable)]
#[case::an_empty_price(&with("price", "\"\""), Rejection::InvalidField)]
#[case::a_price_in_words(&with("price", "\"NaN\""), Rejection::InvalidField)]
#[case::a_price_as_object(&with("price", "{}"), Rejection::InvalidField)]
#[case::a_null_quantity(&with("quantity", "null"), Rejection::InvalidField)]
#[case::a_quantity_of_zero(&with("quantity", "0"), Rejection::NotPositive)]
#[case::a_negative_id(&with("trade_id", "-1"), Rejection::NotRepresentable)]
#[case::an_id_beyond_64_bits(&with("trade_id", "18446744073709551616"), Rejection::NotRepresentable)]
#[case::a_fractional_id(&with("trade_id", "1.0"), Rejection::InvalidField)]
#[case::an_unknown_side(&with("side", "\"BUY\""), Rejection::InvalidField)]
#[case::a_time_before_1970(&with("event_time_us", "-1"), Rejection::NotRepresentable)]
#[case::a_time_after_9999(&with("event_time_us", "253402300800000000"), Rejection::NotRepresentable)]
#[case::a_time_as_exponent(&with("event_time_us", "1e15"), Rejection::InvalidField)]
#[case::no_received_time(&CANONICAL.replace("\"received_time_us\"", "\"recv\""), Rejection::InvalidField)]
#[case::an_empty_gap(
    r#"{"v":1,"kind":"gap","symbol":"A","from_us":5,"to_us":5}"#,
    Rejection::InvalidField
)]
#[case::a_gap_without_end(r#"{"v":1,"kind":"gap","symbol":"A","from_us":5}"#, Rejection::InvalidField)]
#[case::a_tick_without_time(r#"{"v":1,"kind":"tick"}"#, Rejection::InvalidField)]
fn a_bad_value_is_rejected_with_its_reason(#[case] json: &str, #[case] reason: Rejection) {
    assert_eq!(decoded(json), Err(reason));
}

#[test]
fn a_value_over_one_mebibyte_is_too_large_whatever_it_holds() {
    let padded = |length: usize| format!("{CANONICAL}{}", " ".repeat(length - CANONICAL.len()));
    assert_eq!(decoded(&padded(fields::MAX_VALUE_BYTES)).as_deref(), Ok(CANONICAL));
    assert_eq!(decoded(&padded(fields::MAX_VALUE_BYTES + 1)), Err(Rejection::TooLarge));
}

#[test]
fn bytes_that_are_no_text_are_undecodable() {
    let mut bytes = with("venue", "\"x\"").into_bytes();
    let x = bytes.iter().position(|&byte| byte == b'x').unwrap();
    bytes[x] = 0xff;
    assert_eq!(
        decode(&bytes, &mut DecodeScratch::default()),
        Err(Rejection::Undecodable)
    );
}

#[test]
fn an_unknown_field_nested_without_end_is_skipped_without_recursion() {
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    let deep = CANONICAL.replace("\"side\"", &format!("\"x\":{open}{close},\"side\""));
    assert_eq!(decoded(&deep).as_deref(), Ok(CANONICAL));
}

/// The scanner and the full decoder must not be able to disagree, whatever the bytes.
fn agree(value: &[u8]) -> Result<bool, TestCaseError> {
    let scanned = scan(value);
    if let Some(record) = scanned {
        let mut scratch = DecodeScratch::default();
        prop_assert_eq!(Ok(record), decode_any(value, &mut scratch));
    }
    Ok(scanned.is_some())
}

fn any_trade() -> impl Strategy<Value = (String, String, u64, i64, i64, bool, i64, i64)> {
    let time = fields::TIMES_US;
    let name = ("[a-z0-9._-]{1,32}", "[A-Z0-9._/-]{1,32}");
    let scaled = prop_oneof![1..=i64::MAX, 1..=100_000_000_000_000_i64];
    (
        name.0,
        name.1,
        any::<u64>(),
        scaled.clone(),
        scaled,
        any::<bool>(),
        time.clone(),
        time,
    )
}

fn json_of(parts: &(String, String, u64, i64, i64, bool, i64, i64)) -> String {
    let (venue, symbol, trade_id, price, quantity, buy, event_time_us, received_time_us) = parts;
    let record = Record::Trade(Trade {
        venue,
        symbol,
        trade_id: *trade_id,
        price: *price,
        quantity: *quantity,
        side: if *buy { Side::Buy } else { Side::Sell },
        event_time_us: *event_time_us,
        received_time_us: *received_time_us,
    });
    CanonicalJson(&record).to_string()
}

/// Replaces, inserts or removes a few bytes; the inserted ones are those that matter in JSON numbers and texts.
fn mutate(json: &str, edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    const BYTES: &[u8] = b"0123456789.-+eE\"\\{}[],: \n\0azAZ/\xff";
    let mut bytes = json.as_bytes().to_vec();
    for (at, how, with) in edits {
        if bytes.is_empty() {
            break;
        }
        let (at, byte) = (at.index(bytes.len()), BYTES[usize::from(*with) % BYTES.len()]);
        match how % 3 {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_the_encoder_writes_decodes_to_itself(parts in any_trade()) {
        let json = json_of(&parts);
        prop_assert_eq!(decoded(&json), Ok(json.clone()));
        agree(json.as_bytes())?;
    }

    #[test]
    fn the_scanner_agrees_or_declines_on_mutated_values(
        parts in any_trade(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        agree(&mutate(&json_of(&parts), &edits))?;
    }

    #[test]
    fn the_scanner_agrees_or_declines_on_any_spelling_of_the_numbers(
        price in "[0-9]{0,12}[.]?[0-9]{0,10}(e-?[0-9])?",
        trade_id in "-?[0-9]{1,21}",
        time in "0?[0-9]{1,19}",
    ) {
        let json = with("price", &format!("\"{price}\""))
            .replace("3735842983", &trade_id)
            .replace("1723078800123456", &time);
        agree(json.as_bytes())?;
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &mut DecodeScratch::default());
        agree(&bytes)?;
    }
}
