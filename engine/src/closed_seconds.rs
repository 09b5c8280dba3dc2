//! A rolling window of closed seconds as one run of bytes: each second is encoded and hashed once, when it closes, and
//! read once more when it leaves. What a second holds is the business of the window's owner.
//!
//! Frame: length of the rest (varint), second since the Unix epoch (varint), the owner's fields.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::watermark::{MICROS_PER_SECOND, is_representable_second};

/// Bytes that may lie unused before the window's front before they are given back.
const SLACK: usize = 4096;

/// Writes the fields of one frame: integers as LEB128 varints.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrameWriter(Vec<u8>);

impl FrameWriter {
    /// Begins the frame of a second.
    pub(crate) fn begin(&mut self, second: i64) {
        self.0.clear();
        self.put(u128::from(second.unsigned_abs()));
    }

    /// Appends a field.
    pub(crate) fn put(&mut self, value: u128) {
        put_varint(&mut self.0, value);
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}

/// Reads the fields of one frame in the order they were written.
#[derive(Debug, Clone)]
pub(crate) struct FrameReader<'a>(&'a [u8]);

impl FrameReader<'_> {
    /// The next field; `None` where the frame is malformed or at its end.
    pub(crate) fn take(&mut self) -> Option<u128> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u128::from(byte & 0x7f);
            if shift == 126 && bits > 3 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The next field as a 64-bit integer.
    pub(crate) fn take_u64(&mut self) -> Option<u64> {
        u64::try_from(self.take()?).ok()
    }

    /// The next field as a non-negative signed integer.
    pub(crate) fn take_i64(&mut self) -> Option<i64> {
        i64::try_from(self.take()?).ok()
    }

    /// Whether every field was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes of a window, in the form that snapshots hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WindowBytes(pub(crate) Vec<u8>);

impl Serialize for WindowBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for WindowBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = WindowBytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes of a window")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<WindowBytes, E> {
                Ok(WindowBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The closed seconds of one window of one symbol, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct ClosedSeconds {
    bytes: Vec<u8>,
    front: usize,
    span_us: i64,
    seed: u64,
    digest: u128,
    next_expiry_us: Option<i64>,
}

impl ClosedSeconds {
    /// An empty window over `span_us`; `seed` tells windows apart in digests.
    pub(crate) const fn new(span_us: i64, seed: u64) -> Self {
        Self {
            bytes: Vec::new(),
            front: 0,
            span_us,
            seed,
            digest: 0,
            next_expiry_us: None,
        }
    }

    /// This window with the bytes of a snapshot; `check` reads the fields of each frame. `None` where frames are
    /// malformed or not in order.
    pub(crate) fn restore(
        self,
        bytes: WindowBytes,
        mut check: impl FnMut(&mut FrameReader<'_>) -> Option<()>,
    ) -> Option<Self> {
        let mut window = Self { bytes: bytes.0, ..self };
        let (mut at, mut newest) = (0, -1);
        while at < window.bytes.len() {
            let (frame, next) = frame_at(&window.bytes, at)?;
            let mut fields = FrameReader(frame);
            let second = fields
                .take_i64()
                .filter(|second| *second > newest && is_representable_second(*second))?;
            check(&mut fields)?;
            if !fields.is_empty() {
                return None;
            }
            window.digest = window.digest.wrapping_add(xxh3_128_with_seed(frame, window.seed));
            (at, newest) = (next, second);
        }
        window.refresh_expiry();
        Some(window)
    }

    /// The window's bytes, oldest second first.
    pub(crate) fn to_bytes(&self) -> WindowBytes {
        WindowBytes(self.bytes.get(self.front..).unwrap_or_default().to_vec())
    }

    /// Appends a closed second; seconds come in order.
    pub(crate) fn push(&mut self, frame: &FrameWriter) {
        self.digest = self.digest.wrapping_add(xxh3_128_with_seed(&frame.0, self.seed));
        put_varint(&mut self.bytes, frame.0.len() as u128);
        self.bytes.extend_from_slice(&frame.0);
        if self.next_expiry_us.is_none() {
            self.refresh_expiry();
        }
    }

    /// Sum of the hashes of the seconds inside.
    pub(crate) const fn digest(&self) -> u128 {
        self.digest
    }

    /// When the oldest second leaves: its end + the span, microseconds.
    pub(crate) const fn next_expiry_us(&self) -> Option<i64> {
        self.next_expiry_us
    }

    /// The oldest second inside.
    pub(crate) const fn first_second(&self) -> Option<i64> {
        match self.next_expiry_us {
            Some(expiry) => Some((expiry - self.span_us) / MICROS_PER_SECOND - 1),
            None => None,
        }
    }

    /// Hands the fields of every second that left at or before `now_us` to `leave`, oldest first; tells when the last
    /// of them left.
    pub(crate) fn expire(&mut self, now_us: i64, mut leave: impl FnMut(&mut FrameReader<'_>)) -> Option<i64> {
        let mut last = None;
        while let Some(expiry) = self.next_expiry_us.filter(|expiry| *expiry <= now_us) {
            let Some((frame, next)) = frame_at(&self.bytes, self.front) else {
                break;
            };
            self.digest = self.digest.wrapping_sub(xxh3_128_with_seed(frame, self.seed));
            let mut fields = FrameReader(frame);
            fields.take();
            leave(&mut fields);
            self.front = next;
            last = Some(expiry);
            self.refresh_expiry();
        }
        if self.front >= SLACK && self.front * 2 >= self.bytes.len() {
            self.bytes.drain(..self.front);
            self.front = 0;
        }
        last
    }

    /// Calls `visit` with the second and the fields of every second inside, oldest first.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(i64, &mut FrameReader<'_>)) {
        let mut at = self.front;
        while let Some((frame, next)) = frame_at(&self.bytes, at) {
            let mut fields = FrameReader(frame);
            let Some(second) = fields.take_i64() else { return };
            visit(second, &mut fields);
            at = next;
        }
    }

    /// The digest recomputed from the bytes.
    pub(crate) fn digest_from_scratch(&self) -> u128 {
        let (mut sum, mut at) = (0_u128, self.front);
        while let Some((frame, next)) = frame_at(&self.bytes, at) {
            sum = sum.wrapping_add(xxh3_128_with_seed(frame, self.seed));
            at = next;
        }
        sum
    }

    fn refresh_expiry(&mut self) {
        let front = frame_at(&self.bytes, self.front).and_then(|(frame, _)| FrameReader(frame).take_i64());
        self.next_expiry_us = front.map(|second| (second + 1) * MICROS_PER_SECOND + self.span_us);
    }
}

/// The frame that begins at `at`, and where the next one begins.
fn frame_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let mut reader = FrameReader(rest);
    let length = usize::try_from(reader.take()?).ok()?;
    let frame = reader.0.get(..length)?;
    Some((frame, at + (rest.len() - reader.0.len()) + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN_US: i64 = 10 * MICROS_PER_SECOND;

    fn window(seconds: &[i64]) -> ClosedSeconds {
        let mut window = ClosedSeconds::new(SPAN_US, 7);
        let mut frame = FrameWriter::default();
        for second in seconds {
            frame.begin(*second);
            frame.put(u128::MAX);
            window.push(&frame);
        }
        window
    }

    #[test]
    fn a_second_leaves_one_span_after_its_end() {
        let mut window = window(&[5, 6]);
        assert_eq!(window.next_expiry_us(), Some(16 * MICROS_PER_SECOND));
        assert_eq!(
            window.expire(16 * MICROS_PER_SECOND - 1, |_| panic!("left too early")),
            None
        );
        let mut left = Vec::new();
        assert_eq!(
            window.expire(16 * MICROS_PER_SECOND, |fields| left.push(fields.take())),
            Some(16 * MICROS_PER_SECOND)
        );
        assert_eq!(left, [Some(u128::MAX)]);
        assert_eq!(window.next_expiry_us(), Some(17 * MICROS_PER_SECOND));
    }

    #[test]
    fn the_digest_of_what_is_left_does_not_know_what_was_there() {
        let mut rolled = window(&[5, 6, 9]);
        rolled.expire(17 * MICROS_PER_SECOND, |_| {});
        assert_eq!(rolled.digest(), window(&[9]).digest());
        assert_eq!(rolled.digest(), rolled.digest_from_scratch());
        assert_eq!(rolled.to_bytes(), window(&[9]).to_bytes());
    }

    #[test]
    fn an_empty_window_has_digest_zero_and_no_expiry() {
        let mut window = window(&[5]);
        window.expire(i64::MAX, |_| {});
        assert_eq!((window.digest(), window.next_expiry_us()), (0, None));
    }

    #[test]
    fn long_use_does_not_grow_the_bytes() {
        let mut window = window(&[]);
        let mut frame = FrameWriter::default();
        for second in 0..100_000 {
            frame.begin(second);
            window.push(&frame);
            window.expire(second * MICROS_PER_SECOND, |_| {});
        }
        assert!(window.bytes.capacity() < 4 * SLACK, "{} bytes", window.bytes.capacity());
    }

    fn restored(bytes: Vec<u8>) -> Option<ClosedSeconds> {
        window(&[]).restore(WindowBytes(bytes), |fields| fields.take().map(|_| ()))
    }

    #[test]
    fn bytes_that_are_no_window_are_refused() {
        let good = window(&[5, 6]).to_bytes().0;
        assert_eq!(
            restored(good.clone()).map(|window| window.digest()),
            Some(window(&[5, 6]).digest())
        );
        for length in (1..good.len()).filter(|length| *length != good.len() / 2) {
            assert!(restored(good[..length].to_vec()).is_none(), "{length} bytes");
        }
        assert!(restored(window(&[6, 5]).to_bytes().0).is_none(), "seconds out of order");
        assert!(restored(vec![0xff; 40]).is_none());
        let last = i64::MAX / MICROS_PER_SECOND - 1;
        assert!(restored(window(&[5, last]).to_bytes().0).is_none(), "beyond year 9999");
    }
}
