//! Random numbers that are the same for a seed on every platform and in every release.
//!
//! A library's generators may change between versions; a synthetic series that a test or a report names by its seed may
//! not. xoshiro256** and splitmix64 are by Blackman and Vigna (<https://prng.di.unimi.it>); logarithm and cosine are
//! libm's, because the platform's differ in the last bit.

/// xoshiro256**, seeded by splitmix64.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// One stream per (seed, name), so that a symbol's series does not depend on which others are generated.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut mixer = seed ^ hash;
        Self {
            state: std::array::from_fn(|_| splitmix(&mut mixer)),
        }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ b << 17, d.rotate_left(45)];
        result
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let bits = (self.bits() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Poisson, by Knuth's product of uniforms; meant for means below a few hundred.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let limit = libm::exp(-mean);
        let mut product = self.uniform();
        let mut count = 0;
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_sequence_of_seed_1234567() {
        let mut state = 1_234_567;
        let first: Vec<_> = (0..3).map(|_| splitmix(&mut state)).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn xoshiro_gives_the_reference_sequence_of_state_1_2_3_4() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<_> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn normal_and_poisson_have_their_means_and_variances() {
        let mut random = Random::new(7, "BTCUSDT");
        let normals: Vec<f64> = (0..50_000).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / 50_000.0;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / 50_000.0;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let trades: f64 = (0..50_000).map(|_| f64::from(random.poisson(4.0))).sum();
        assert!((trades / 50_000.0 - 4.0).abs() < 0.05, "{trades}");
    }

    #[test]
    fn streams_of_two_names_differ_and_of_one_name_do_not() {
        assert_ne!(Random::new(1, "A").bits(), Random::new(1, "B").bits());
        assert_eq!(Random::new(1, "A").bits(), Random::new(1, "A").bits());
    }
}
