//! The snapshot codec: no bytes make it panic or take memory they do not justify, and a state that went through it goes
//! on as if it had not.

use std::sync::Arc;

use arbitrary::Unstructured;
use assay_engine::{Effects, PartitionState, Settings};
use xxhash_rust::xxh3::xxh3_128;

use crate::allocations::peak_of;
use crate::steps::{self, Step, Steps};

/// What restoring may hold beside what it is given: tables of the smallest state.
const FLOOR_BYTES: usize = 1 << 20;
/// A byte of a state may become this many in memory: an empty symbol is a few bytes packed and a few hundred restored.
const BYTES_PER_BYTE: usize = 512;

/// The largest number that the state's encoding can hold.
const LARGEST_VARINT: [u8; 10] = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
/// Magic, format and length in front of the packed state; behind it the checksum.
const HEADER: usize = 14;
const CHECKSUM: usize = 16;

/// The first byte chooses: bytes as they are, bytes in a valid envelope, an altered state in one, or records to step.
pub fn check(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    let settings = Arc::new(steps::settings());
    match choice % 4 {
        0 => check_bytes(&settings, rest, rest.len()),
        1 => check_bytes(&settings, &sealed(rest), rest.len()),
        2 => check_altered(&settings, &mut Unstructured::new(rest)).unwrap_or_default(),
        _ => check_steps(&settings, &mut Unstructured::new(rest)),
    }
}

/// The envelope that the codec writes, so that what is in it is reached.
fn sealed(state: &[u8]) -> Vec<u8> {
    let mut bytes = b"ASSY".to_vec();
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend((state.len() as u64).to_le_bytes());
    bytes.extend(zstd::bulk::compress(state, 1).expect("compresses"));
    bytes.extend(xxh3_128(&bytes).to_le_bytes());
    bytes
}

/// Alters single bytes of a real state, and closes the envelope anew.
fn check_altered(settings: &Arc<Settings>, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let edits: Vec<(u16, u8)> = (0..input.int_in_range(0..=4)?)
        .map(|_| input.arbitrary())
        .collect::<Result<_, _>>()?;
    let mut state = PartitionState::new(Arc::clone(settings));
    for (offset, step) in Steps::new(input).enumerate() {
        if let Step::Record(record) = step {
            state.step(&record.as_record(), record.at(offset), &mut Effects::default());
        }
    }
    let snapshot = state.snapshot().expect("encodes");
    let mut bytes = zstd::stream::decode_all(&snapshot[HEADER..snapshot.len() - CHECKSUM]).expect("a packed state");
    for (at, value) in edits {
        let at = usize::from(at) % bytes.len();
        match value {
            0 => drop(bytes.splice(at..=at, LARGEST_VARINT)),
            _ => bytes[at] ^= value,
        }
    }
    check_bytes(settings, &sealed(&bytes), bytes.len());
    Ok(())
}

/// Restores foreign bytes. What is accepted is a fixed point: written and read again it gives the same bytes.
fn check_bytes(settings: &Arc<Settings>, bytes: &[u8], state_bytes: usize) {
    let (restored, peak) = peak_of(|| PartitionState::restore(Arc::clone(settings), bytes));
    let most = FLOOR_BYTES + state_bytes * BYTES_PER_BYTE;
    assert!(peak <= most, "{peak} bytes held for a state of {state_bytes}");
    if let Ok(mut state) = restored {
        let written = state.snapshot().expect("encodes");
        restore(settings, &written, &mut state);
    }
}

/// Restores what a state wrote, and compares the two.
fn restore(settings: &Arc<Settings>, bytes: &[u8], of: &mut PartitionState) -> PartitionState {
    let mut restored = PartitionState::restore(Arc::clone(settings), bytes).expect("its own snapshot");
    assert_eq!(restored.digest(), of.digest());
    assert_eq!(restored.digest_from_scratch(), of.digest_from_scratch());
    assert_eq!(restored.views(), of.views());
    assert_eq!(
        restored.snapshot().expect("encodes"),
        bytes,
        "equal states give equal bytes"
    );
    restored
}

/// Steps two states through the same records; one of them goes through the codec now and then.
fn check_steps(settings: &Arc<Settings>, input: &mut Unstructured<'_>) {
    let mut one = (PartitionState::new(Arc::clone(settings)), Effects::default());
    let mut other = one.clone();
    let mut records = 0_u64;
    for (offset, step) in Steps::new(input).enumerate() {
        match step {
            Step::Record(record) => {
                records += 1;
                let at = record.at(offset);
                let disposition = one.0.step(&record.as_record(), at, &mut one.1);
                assert_eq!(other.0.step(&record.as_record(), at, &mut other.1), disposition);
            }
            Step::Restart => {
                let bytes = other.0.snapshot().expect("encodes");
                other.0 = restore(settings, &bytes, &mut one.0);
            }
        }
    }
    assert_eq!(one.1, other.1, "a restart changed the rows");
    let bytes = one.0.snapshot().expect("encodes");
    restore(settings, &bytes, &mut other.0);
    check_rows(&one.1);
    check_counters(&one.0, records);
}

fn check_rows(effects: &Effects) {
    assert!(effects.faults.is_empty(), "{:?}", effects.faults);
    assert!(effects.outcomes.len() <= effects.forecasts.len());
    for forecast in &effects.forecasts {
        let (probability, base_rate) = (forecast.probability, forecast.base_rate);
        assert!(probability > 0.0 && probability < 1.0, "{forecast:?}");
        assert!((0.0..=1.0).contains(&base_rate), "{forecast:?}");
    }
    for outcome in &effects.outcomes {
        assert!(outcome.log_return.is_finite(), "{outcome:?}");
        assert_eq!(
            outcome.evaluated_at_us,
            outcome.forecast.emitted_at_us + outcome.forecast.horizon_us
        );
    }
}

/// Every record is counted once.
fn check_counters(state: &PartitionState, records: u64) {
    let counters = state.counters();
    let rejected: u64 = counters.rejected.values().sum();
    let kept = counters.accepted + counters.ticks + counters.gaps;
    assert_eq!(
        kept + counters.late + counters.duplicate + counters.faulted + rejected,
        records
    );
}
