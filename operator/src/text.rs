//! Figures as status shows them: two digits, so that an idle topic or a steady one causes no write.

/// A record count with two significant digits.
#[must_use]
pub fn round(records: i64) -> i64 {
    let mut scale = 1;
    while records / scale >= 100 {
        scale *= 10;
    }
    records / scale * scale
}

/// A record count as text: `0`, `87`, `1.2k`, `34M`.
#[must_use]
pub fn two_digits(records: i64) -> String {
    let rounded = round(records);
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.iter().find(|(size, _)| rounded >= *size) {
        None => rounded.to_string(),
        Some((size, unit)) if rounded % size == 0 || rounded >= size * 10 => format!("{}{unit}", rounded / size),
        Some((size, unit)) => format!("{}.{}{unit}", rounded / size, rounded % size * 10 / size),
    }
}

/// Milliseconds as seconds.
#[must_use]
#[allow(clippy::cast_precision_loss)] // below 2^52 for any time that matters
pub fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// A length of time by its largest unit: `0s`, `12s`, `3m`, `5h`, `6d`.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // saturates, which is right for a text
pub fn duration(seconds: f64) -> String {
    let whole = seconds.ceil() as i64;
    let units = [(86_400 * 2, 86_400, "d"), (3_600 * 2, 3_600, "h"), (60 * 2, 60, "m")];
    match units.iter().find(|(from, _, _)| whole >= *from) {
        Some((_, size, unit)) => format!("{}{unit}", whole / size),
        None => format!("{whole}s"),
    }
}

/// Records a second.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // saturates, which is right for a text
pub fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{}/s", two_digits(per_second as i64))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0")]
    #[case(87, "87")]
    #[case(128, "120")]
    #[case(1_290, "1.2k")]
    #[case(34_567, "34k")]
    #[case(2_000_001, "2M")]
    fn counts_have_two_digits(#[case] records: i64, #[case] text: &str) {
        assert_eq!(two_digits(records), text);
    }

    #[rstest]
    #[case(0.0, "0s")]
    #[case(0.2, "1s")]
    #[case(119.0, "119s")]
    #[case(120.0, "2m")]
    #[case(7_200.0, "2h")]
    #[case(600_000.0, "6d")]
    fn times_show_their_largest_unit(#[case] seconds: f64, #[case] text: &str) {
        assert_eq!(duration(seconds), text);
    }

    #[rstest]
    #[case(0.0, "0.0/s")]
    #[case(9.94, "9.9/s")]
    #[case(12_345.0, "12k/s")]
    fn rates_are_per_second(#[case] rate_per_second: f64, #[case] text: &str) {
        assert_eq!(rate(rate_per_second), text);
    }
}
