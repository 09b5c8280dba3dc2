//! Intervals of rates.

/// Φ⁻¹(0.975): half-width of a 95 % interval in standard deviations.
const Z_95: f64 = 1.959_963_984_540_054;

/// Bounds of the 95 % interval of a rate of `hits` among `count` (Wilson 1927, score interval); `count` above zero.
pub(super) fn wilson(hits: usize, count: usize) -> (f64, f64) {
    let (n, rate) = (as_f64(count), as_f64(hits) / as_f64(count));
    let z2 = Z_95 * Z_95;
    let centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// A count as a float.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Mean of some values; `None` of none.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / as_f64(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // 10 of 40: (0.25 + 0.048) / 1.096 ± …, as in statistical tables.
        let (low, high) = wilson(10, 40);
        assert!(
            (low - 0.141_865).abs() < 1e-5 && (high - 0.401_942).abs() < 1e-5,
            "{low} {high}"
        );
        assert!(wilson(0, 10).0.abs() < 1e-12 && (wilson(10, 10).1 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(mean([].into_iter()), None);
        assert_eq!(mean([1.0, 2.0].into_iter()), Some(1.5));
    }
}
