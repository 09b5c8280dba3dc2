//! The floor under every consumer: fetches a topic to its end with the processor's client settings and allocator, and
//! does nothing with the records. `make bench` measures it from outside, beside the processor.
//!
//! `floor poll|batch TOPIC PARTITIONS RECORDS KEY=VALUE...`: takes records one by one, as rdkafka offers it, or many in
//! a call; the rest are librdkafka's settings. Prints `fetching` before the first fetch and `end` after the last record, then stays until it is killed.

use anyhow::{Context as _, Result, bail, ensure};
use assay_bench::{SILENCE, assign, consumer, say};
use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [call, topic, partitions, records, settings @ ..] = &arguments[..] else {
        bail!("give: poll|batch TOPIC PARTITIONS RECORDS KEY=VALUE...");
    };
    let (partitions, records): (i32, usize) = (partitions.parse()?, records.parse()?);
    let consumer = consumer(settings)?;
    say("fetching")?;
    assign(&consumer, topic, partitions)?;
    let bytes = match call.as_str() {
        "poll" => poll_all(&consumer, records)?,
        "batch" => batch::take_all(&consumer, records)?,
        other => bail!("{other} is no way to fetch: poll or batch"),
    };
    ensure!(bytes > 0, "the records were empty");
    say("end")?;
    loop {
        std::thread::park();
    }
}

/// One record a call; gives the bytes of the values, so that each record is looked at.
fn poll_all(consumer: &BaseConsumer, records: usize) -> Result<usize> {
    let mut bytes = 0;
    for _ in 0..records {
        let message = consumer.poll(SILENCE).context("no record came")??;
        bytes += message.payload().map_or(0, <[u8]>::len);
    }
    Ok(bytes)
}

/// librdkafka's batch call, which rdkafka does not offer.
///
/// Safety, for the whole module: the client outlives the queue, because the consumer is borrowed for the whole call; the
/// queue is destroyed once, at the end. librdkafka fills no more slots than it is given room for and returns how many;
/// those messages are ours, are read before they are destroyed, and are destroyed once. Nobody polls meanwhile.
mod batch {
    #![allow(unsafe_code)]

    use std::ptr::null_mut;

    use anyhow::{Result, ensure};
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka_sys as sys;

    /// Records in one call.
    const ROOM: usize = 2048;
    /// A call waits for a full batch no longer than this: it bounds the latency, as it would in the processor.
    const WAIT_MS: i32 = 10;

    /// Many records a call; gives the bytes of the values.
    pub(super) fn take_all(consumer: &BaseConsumer, records: usize) -> Result<usize> {
        // SAFETY: the client lives as long as `consumer`.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        ensure!(!queue.is_null(), "the consumer has no queue");
        let deadline = assay_bench::SILENCE;
        let mut last = std::time::Instant::now();
        let (mut taken, mut bytes) = (0, 0);
        while taken < records {
            let (count, size) = take(queue)?;
            if count > 0 {
                last = std::time::Instant::now();
            }
            ensure!(last.elapsed() < deadline, "no record came");
            (taken, bytes) = (taken + count, bytes + size);
        }
        // SAFETY: ours, and not used again.
        unsafe { sys::rd_kafka_queue_destroy(queue) };
        Ok(bytes)
    }

    /// One call: records and bytes.
    fn take(queue: *mut sys::rd_kafka_queue_t) -> Result<(usize, usize)> {
        let mut messages = [null_mut(); ROOM];
        // SAFETY: the queue is alive and there is room for `ROOM` pointers.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(queue, WAIT_MS, messages.as_mut_ptr(), ROOM) };
        let mut sizes = 0;
        let mut failed = 0;
        for message in messages.iter().take(usize::try_from(count)?) {
            // SAFETY: filled by the call, alive until it is destroyed in the next line, and destroyed once.
            let (error, length) = unsafe { ((**message).err, (**message).len) };
            unsafe { sys::rd_kafka_message_destroy(*message) };
            failed += usize::from(error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
            sizes += length;
        }
        ensure!(failed == 0, "{failed} errors among the records");
        Ok((usize::try_from(count)?, sizes))
    }
}
