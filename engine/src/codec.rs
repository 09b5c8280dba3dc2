//! Canonical bytes of a partition's state: postcard, compressed with zstd, behind a header and in front of a checksum.
//!
//! Whatever bytes it is given, it neither panics nor allocates more than they justify.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

use crate::SnapshotError;

/// First bytes of every snapshot.
const MAGIC: [u8; 4] = *b"ASSY";
/// Grows with every change of the format; a snapshot of another version is refused and the log replayed instead.
const FORMAT: u16 = 1;
/// Magic, format, length of the uncompressed state.
const HEADER: usize = MAGIC.len() + size_of::<u16>() + size_of::<u64>();
const CHECKSUM: usize = size_of::<u128>();
/// States are a few MiB, and this is the state of thousands of symbols with full windows in one partition.
const LARGEST_STATE: u64 = 1 << 30;
/// Logarithm of the window that a state is packed with: what unpacking holds beside the state itself. A frame that asks for more
/// is none of ours; zstd would give it up to 128 MiB.
const WINDOW_LOG: u32 = 19;
/// zstd's fastest regular level: snapshots are taken often and read seldom.
const LEVEL: i32 = 1;

/// Encodes a state.
pub(crate) fn encode(document: &impl Serialize) -> Result<Vec<u8>, SnapshotError> {
    let state = postcard::to_stdvec(document).map_err(|error| refused("the state cannot be encoded", &error))?;
    ensure_restorable(state.len() as u64)?;
    let packed = pack(&state).map_err(|error| refused("the state cannot be packed", &error))?;
    let mut bytes = Vec::with_capacity(HEADER + packed.len() + CHECKSUM);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend((state.len() as u64).to_le_bytes());
    bytes.extend(packed);
    bytes.extend(xxh3_128(&bytes).to_le_bytes());
    Ok(bytes)
}

fn pack(state: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
    packer.window_log(WINDOW_LOG)?;
    packer.compress(state)
}

fn ensure_restorable(length: u64) -> Result<(), SnapshotError> {
    if length > LARGEST_STATE {
        return Err(SnapshotError(format!(
            "a state of {length} bytes is more than the {LARGEST_STATE} that are restored"
        )));
    }
    Ok(())
}

/// Decodes what [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SnapshotError> {
    let (length, packed) = open(bytes)?;
    let state = unpack(packed, length)?;
    let (document, rest) =
        postcard::take_from_bytes(&state).map_err(|error| refused("the state cannot be decoded", &error))?;
    if rest.is_empty() {
        Ok(document)
    } else {
        Err(SnapshotError("bytes follow the state".into()))
    }
}

/// Checks header and checksum; gives the state's length and its compressed bytes.
fn open(bytes: &[u8]) -> Result<(u64, &[u8]), SnapshotError> {
    let too_short = || SnapshotError(format!("{} bytes are no snapshot", bytes.len()));
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(too_short)?;
    let (magic, header) = header.split_at(MAGIC.len());
    let (format, length) = header.split_at(size_of::<u16>());
    if magic != MAGIC {
        return Err(SnapshotError("it does not begin as a snapshot does".into()));
    }
    let format = u16::from_le_bytes(format.try_into().map_err(|_| too_short())?);
    if format != FORMAT {
        return Err(SnapshotError(format!(
            "format {format} found, this build reads {FORMAT}; replay the log instead"
        )));
    }
    let packed = rest
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|length| rest.get(..length))
        .ok_or_else(too_short)?;
    let (content, checksum) = bytes.split_at(HEADER + packed.len());
    if xxh3_128(content).to_le_bytes() != *checksum {
        return Err(SnapshotError(
            "the checksum differs; it was truncated or altered".into(),
        ));
    }
    Ok((u64::from_le_bytes(length.try_into().map_err(|_| too_short())?), packed))
}

/// Unpacks at most `length` bytes, growing as they come.
fn unpack(packed: &[u8], length: u64) -> Result<Vec<u8>, SnapshotError> {
    ensure_restorable(length)?;
    let mut state = Vec::new();
    let failed = |error: std::io::Error| refused("the state cannot be unpacked", &error);
    let mut decoder = zstd::stream::read::Decoder::new(packed).map_err(failed)?;
    decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
    decoder.take(length + 1).read_to_end(&mut state).map_err(failed)?;
    if state.len() as u64 == length {
        Ok(state)
    } else {
        Err(SnapshotError("its length differs from its header".into()))
    }
}

fn refused(what: &str, error: &dyn std::error::Error) -> SnapshotError {
    SnapshotError(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn sealed(mut content: Vec<u8>) -> Vec<u8> {
        content.extend(xxh3_128(&content).to_le_bytes());
        content
    }

    fn header(length: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes
    }

    #[test]
    fn a_forged_length_is_refused_before_it_is_believed() {
        for length in [LARGEST_STATE + 1, u64::MAX] {
            let error = decode::<Vec<u8>>(&sealed(header(length))).expect_err("forged");
            assert!(error.to_string().contains("more than"), "{error}");
        }
    }

    #[test]
    fn a_frame_that_wants_a_larger_window_than_ours_is_refused() {
        let state = postcard::to_stdvec(&vec![7_u8; 10]).expect("encodes");
        for (window_log, accepted) in [(WINDOW_LOG, true), (WINDOW_LOG + 1, false), (27, false)] {
            let mut packer = zstd::stream::write::Encoder::new(header(state.len() as u64), LEVEL).expect("starts");
            packer.window_log(window_log).expect("a window");
            packer.write_all(&state).expect("packs");
            let decoded = decode::<Vec<u8>>(&sealed(packer.finish().expect("ends")));
            assert_eq!(decoded.is_ok(), accepted, "{window_log}: {decoded:?}");
        }
    }

    #[test]
    fn a_state_of_many_windows_that_does_not_pack_is_restored() {
        let state: Vec<u64> = (0..500_000_u64).map(|n| xxh3_64(&n.to_le_bytes())).collect();
        let bytes = encode(&state).expect("encodes");
        assert!(bytes.len() > 4 << WINDOW_LOG, "{} bytes", bytes.len());
        assert_eq!(decode::<Vec<u64>>(&bytes).expect("decodes"), state);
    }

    #[test]
    fn a_state_that_unpacks_to_more_than_it_says_is_refused() {
        let mut bytes = header(10);
        bytes.extend(zstd::bulk::compress(&vec![0; 1 << 20], LEVEL).expect("compresses"));
        let error = decode::<Vec<u8>>(&sealed(bytes)).expect_err("too long");
        assert!(error.to_string().contains("length differs"), "{error}");
    }

    #[test]
    fn another_format_and_trailing_bytes_are_refused() {
        let mut bytes = header(0);
        bytes[4] = 99;
        assert!(decode::<u8>(&sealed(bytes)).is_err_and(|error| error.to_string().contains("format 99")));
        let two = encode(&(1_u8, 2_u8)).expect("encodes");
        assert!(decode::<u8>(&two).is_err_and(|error| error.to_string().contains("follow")));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(state in prop::collection::vec(any::<u64>(), 0..200)) {
            let bytes = encode(&state).expect("encodes");
            prop_assert_eq!(decode::<Vec<u64>>(&bytes).expect("decodes"), state);
        }

        #[test]
        fn altered_or_truncated_bytes_are_refused(at in 0..10_000_usize, flip in 1..=255_u8) {
            let bytes = encode(&vec![7_u32; 100]).expect("encodes");
            let at = at % bytes.len();
            prop_assert!(decode::<Vec<u32>>(&bytes[..at]).is_err());
            let mut altered = bytes;
            altered[at] ^= flip;
            prop_assert!(decode::<Vec<u32>>(&altered).is_err());
        }

        #[test]
        fn foreign_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode::<Vec<u32>>(&bytes).is_err());
            let mut headed = header(bytes.len() as u64);
            headed.extend(bytes);
            let _ = decode::<Vec<Vec<String>>>(&sealed(headed));
        }
    }
}
