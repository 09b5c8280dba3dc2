//! Makes one distribution of those of the active strategies: the logarithmic pool around the base rate.
//!
//! Linear pooling of calibrated forecasts is under-confident (Ranjan and Gneiting 2010). Shares that sum to at most
//! one avoid that without becoming over-confident.

use super::Distribution;

/// What one active strategy brings to the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// Its local probabilities.
    pub local: Distribution,
    /// Its weight among all strategies, above zero; shares among the active ones are taken here.
    pub weight: f64,
    /// Confidence in the data, 0–1.
    pub confidence: f64,
}

/// ln P\[k\] = ln b\[k\] + Σ a·conf·(ln p\[k\] − ln b\[k\]), normalised; a = share of the weight of the active strategies.
///
/// Written as a factor on `b`, so that opinions equal to the base rate give exactly the base rate.
#[must_use]
pub fn pool(base: &Distribution, opinions: &[Opinion]) -> Distribution {
    let active: f64 = opinions.iter().map(|opinion| opinion.weight).sum();
    let mut exponent = Distribution::new(0.0, 0.0, 0.0);
    for opinion in opinions {
        let share = opinion.weight / active * opinion.confidence;
        let evidence = opinion
            .local
            .zip_with(base, |local, base| share * libm::log(local / base));
        exponent = exponent.zip_with(&evidence, |sum, term| sum + term);
    }
    let pooled = base.zip_with(&exponent, |base, exponent| base * libm::exp(exponent));
    let norm = pooled.total() / base.total();
    pooled.zip_with(base, |pooled, _| pooled / norm)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_shares() -> impl Strategy<Value = Distribution> {
        (0.001..1.0_f64, 0.001..1.0_f64, 0.001..1.0_f64)
            .prop_map(|(up, flat, down)| Distribution::new(up, flat, down).shares())
    }

    fn any_opinion() -> impl Strategy<Value = Opinion> {
        (any_shares(), 0.001..1.0_f64, 0.0..=1.0_f64).prop_map(|(local, weight, confidence)| Opinion {
            local,
            weight,
            confidence,
        })
    }

    #[test]
    fn two_opinions_pool_as_computed_by_hand() {
        let base = Distribution::new(0.31, 0.38, 0.31);
        let pooled = pool(
            &base,
            &[
                Opinion {
                    local: Distribution::new(0.5, 0.3, 0.2),
                    weight: 0.6,
                    confidence: 1.0,
                },
                Opinion {
                    local: Distribution::new(0.3, 0.4, 0.3),
                    weight: 0.2,
                    confidence: 0.5,
                },
            ],
        );
        assert!((pooled.up - 0.448_856_722_931_096_5).abs() < 1e-14);
        assert!((pooled.flat - 0.325_380_297_648_306_7).abs() < 1e-14);
        assert!((pooled.down - 0.225_762_979_420_596_75).abs() < 1e-14);
    }

    #[test]
    fn one_opinion_of_full_confidence_is_the_pool() {
        let local = Distribution::new(0.5, 0.3, 0.2);
        let pooled = pool(
            &Distribution::new(0.31, 0.38, 0.31),
            &[Opinion {
                local,
                weight: 0.01,
                confidence: 1.0,
            }],
        );
        assert!((pooled.up - 0.5).abs() < 1e-15 && (pooled.down - 0.2).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn opinions_equal_to_the_base_rate_give_exactly_the_base_rate(
            base in any_shares(),
            voices in prop::collection::vec((0.001..1.0_f64, 0.0..=1.0_f64), 1..5),
        ) {
            let opinions: Vec<_> =
                voices.iter().map(|(weight, confidence)| Opinion { local: base, weight: *weight, confidence: *confidence }).collect();
            prop_assert_eq!(pool(&base, &opinions), base);
        }

        #[test]
        fn pooled_probabilities_sum_to_one(base in any_shares(), opinions in prop::collection::vec(any_opinion(), 1..5)) {
            let pooled = pool(&base, &opinions);
            prop_assert!((pooled.total() - 1.0).abs() < 1e-12);
            prop_assert!(pooled.up > 0.0 && pooled.flat > 0.0 && pooled.down > 0.0);
        }

        #[test]
        fn mirrored_opinions_give_exactly_the_mirrored_pool(
            base in any_shares(),
            opinions in prop::collection::vec(any_opinion(), 1..5),
        ) {
            let turned: Vec<_> =
                opinions.iter().map(|opinion| Opinion { local: opinion.local.mirrored(), ..*opinion }).collect();
            prop_assert_eq!(pool(&base.mirrored(), &turned), pool(&base, &opinions).mirrored());
        }
    }
}
