//! A small hash for look-ups inside one process: multiply, then fold the halves of the product together (Fibonacci
//! hashing; Knuth, The Art of Computer Programming 3, 6.4). No result may depend on it: maps that use it are never
//! iterated.

use std::hash::{BuildHasherDefault, Hasher};

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;

/// Makes [`FoldHasher`]s.
pub(crate) type FoldState = BuildHasherDefault<FoldHasher>;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the two halves of the product are what is folded"
    )]
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ value) * GOLDEN;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}
