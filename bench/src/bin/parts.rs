//! Decoding alone and the engine alone, on the records of the topic that the processor reads too.
//!
//! `parts MANIFEST TOPIC PARTITIONS RECORDS KEY=VALUE...`: fetches the whole log into memory, ends the client, and then
//! prints a line for each part: its name and the CPU seconds that it took of this thread. `end` comes last.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use assay_bench::{SILENCE, assign, consumer, say};
use assay_crds::{load_pipeline, validate_settings};
use assay_engine::{Effects, PartitionState, Position, Record, Settings};
use assay_processor::ingest::decode::{DecodeScratch, decode};
use assay_processor::settings::engine_settings;
use nix::time::{ClockId, clock_gettime};
use rdkafka::Message as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records that are decoded before they are stepped: asking for the time must not show among them.
const CHUNK: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [manifest, topic, partitions, records, settings @ ..] = &arguments[..] else {
        bail!("give: MANIFEST TOPIC PARTITIONS RECORDS KEY=VALUE...");
    };
    let engine = Arc::new(read_settings(manifest)?);
    let log = fetch(topic, partitions.parse()?, records.parse()?, settings)?;
    let unusual: Vec<Vec<Vec<u8>>> = log
        .iter()
        .map(|values| values.iter().map(|value| indented(value)).collect())
        .collect();
    tell("scanner", decode_all(&log)?)?;
    tell("serde_json", decode_all(&unusual)?)?;
    tell("step", step_all(&log, &engine)?)?;
    say("end")
}

fn read_settings(manifest: &str) -> Result<Settings> {
    let pipeline = load_pipeline(&std::fs::read_to_string(manifest)?).map_err(|problems| anyhow!("{problems}"))?;
    let settings = validate_settings(&pipeline.spec.settings).map_err(|problems| anyhow!("{problems}"))?;
    Ok(engine_settings("parts", settings))
}

/// All values, by partition.
fn fetch(topic: &str, partitions: i32, records: usize, settings: &[String]) -> Result<Vec<Vec<Vec<u8>>>> {
    let consumer = consumer(settings)?;
    assign(&consumer, topic, partitions)?;
    let mut log = vec![Vec::new(); usize::try_from(partitions)?];
    for _ in 0..records {
        let message = consumer.poll(SILENCE).context("no record came")??;
        let values = log
            .get_mut(usize::try_from(message.partition())?)
            .context("a partition that was not asked for")?;
        values.push(message.payload().unwrap_or_default().to_vec());
    }
    Ok(log)
}

/// The same value with a space before it: legal JSON that the scanner declines at its first byte.
fn indented(value: &[u8]) -> Vec<u8> {
    [b" ", value].concat()
}

fn decode_all(log: &[Vec<Vec<u8>>]) -> Result<Duration> {
    let mut scratch = DecodeScratch::default();
    let begun = cpu_time()?;
    for value in log.iter().flatten() {
        black_box(decode(value, &mut scratch)).map_err(|reason| anyhow!("not a record: {reason:?}"))?;
    }
    Ok(cpu_time()?.saturating_sub(begun))
}

/// Steps each partition from its start; decoding is not counted.
fn step_all(log: &[Vec<Vec<u8>>], settings: &Arc<Settings>) -> Result<Duration> {
    let mut counted = Duration::ZERO;
    for values in log {
        let mut state = PartitionState::new(Arc::clone(settings));
        let mut offset = 0;
        for chunk in values.chunks(CHUNK) {
            counted += step_chunk(&mut state, chunk, &mut offset)?;
        }
        let accepted = state.counters().accepted;
        ensure!(
            accepted == values.len() as u64,
            "{accepted} of {} accepted",
            values.len()
        );
    }
    Ok(counted)
}

fn step_chunk(state: &mut PartitionState, values: &[Vec<u8>], offset: &mut i64) -> Result<Duration> {
    let mut scratches: Vec<DecodeScratch> = values.iter().map(|_| DecodeScratch::default()).collect();
    let decoded = values
        .iter()
        .zip(&mut scratches)
        .map(|(value, scratch)| decode(value, scratch));
    let records: Vec<Record<'_>> = decoded
        .collect::<Result<_, _>>()
        .map_err(|reason| anyhow!("not a record: {reason:?}"))?;
    let mut effects = Effects::default();
    let begun = cpu_time()?;
    for record in &records {
        let at = Position {
            offset: *offset,
            record_time_us: None,
        };
        black_box(state.step(record, at, &mut effects));
        *offset += 1;
    }
    Ok(cpu_time()?.saturating_sub(begun))
}

/// Time that this thread has spent on a CPU.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn tell(part: &str, took: Duration) -> Result<()> {
    say(&format!("{part} {}", took.as_secs_f64()))
}
