//! The partition Kafka's Java clients choose for a key: murmur2, as librdkafka's `murmur2_random` does it too.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// 32-bit murmur2 (Austin Appleby) with the seed and the little-endian words of Kafka's `Utils.murmur2`.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the algorithm takes the length modulo 2^32"
    )]
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        hash ^= tail.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

/// Kafka's partition of a key: the hash without its sign bit, modulo the number of partitions (at least one).
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    i32::try_from(murmur2(key) & 0x7fff_ffff).unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[rstest]
    #[case("21", -973_932_308)]
    #[case("foobar", -790_332_482)]
    #[case("a-little-bit-long-string", -985_981_536)]
    #[case("a-little-bit-longer-string", -1_486_304_829)]
    #[case("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971)]
    #[case("abc", 479_470_107)]
    fn the_hash_is_that_of_kafkas_java_client(#[case] key: &str, #[case] hash: i32) {
        assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash);
    }

    #[test]
    fn a_partition_is_never_negative() {
        let partitions: Vec<_> = ["21", "foobar", "abc", ""]
            .iter()
            .map(|key| partition_of(key.as_bytes(), 12))
            .collect();
        assert!(
            partitions.iter().all(|partition| (0..12).contains(partition)),
            "{partitions:?}"
        );
    }
}
