//! A worker's queue of records: librdkafka fetches its partitions into it, the worker takes many in one call and reads
//! them where they lie.
//!
//! rdkafka hands over one record a call, from the queue that carries the group's events too: a clock read, two locks
//! and an allocation each. Here the records of a partition are forwarded to the queue of its worker instead; the events
//! stay with rdkafka and the poll thread. So no record is copied, and none crosses a thread of ours.
//!
//! This module owns all of the `unsafe` of ingestion. What it relies on, beside the pointers' own rules below:
//! - a queue, a route and the messages keep the consumer alive through an [`Arc`], so nothing of librdkafka's outlives
//!   its client;
//! - librdkafka's queues and messages may be used from any thread, a message by one at a time;
//! - whoever changes the assignment of a partition first makes its worker stand still (`Workers::park`): librdkafka
//!   notes how far the application has read at the end of a batch call, and a call under way across the change would
//!   note the old stay's position in the new one.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ops::Deref;
use std::ptr::{NonNull, null, null_mut};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::headers::headers_json;
use super::rebalance::GroupContext;
use crate::partition::{RawRecord, RecordHeaders};

/// The member of the group.
pub type GroupConsumer = BaseConsumer<GroupContext>;

/// Records in one call: enough that the cost of a call vanishes, few enough that they stay in the cache until they are
/// freed.
const ROOM: usize = 1024;

/// A queue that partitions are forwarded to.
pub struct RecordQueue {
    native: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<GroupConsumer>,
}

// SAFETY: librdkafka guards a queue by a lock of its own and documents its calls as safe from any thread.
unsafe impl Send for RecordQueue {}
// SAFETY: as above.
unsafe impl Sync for RecordQueue {}

impl RecordQueue {
    /// An empty queue; `None` where librdkafka gives none.
    #[must_use]
    pub fn new(consumer: Arc<GroupConsumer>) -> Option<Arc<Self>> {
        // SAFETY: the client lives as long as `consumer`, which is kept.
        let native = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let native = NonNull::new(native)?;
        Some(Arc::new(Self { native, consumer }))
    }

    /// Prepares the way of a partition's records into this queue. Must come before the partition is assigned: from
    /// then on librdkafka leaves its records out of the queue of the group's events.
    #[must_use]
    pub fn route(self: &Arc<Self>, topic: &str, partition: i32) -> Option<Route> {
        let topic = CString::new(topic).ok()?;
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client lives as long as `self`; the topic is a C string for the length of the call.
        let partition = unsafe { sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        let route = Route {
            partition: NonNull::new(partition)?,
            queue: Arc::clone(self),
        };
        route.renew();
        Some(route)
    }

    /// Ends the wait of the reader, now or the next time it finds nothing.
    pub fn wake(&self) {
        // SAFETY: the queue is destroyed with `self` only.
        unsafe { sys::rd_kafka_queue_yield(self.native.as_ptr()) };
    }

    /// [`RecordQueue::wake`] for those that must not keep the queue alive.
    pub fn waker(self: &Arc<Self>) -> impl Fn() + Send + Sync + use<> {
        let queue: Weak<Self> = Arc::downgrade(self);
        move || {
            if let Some(queue) = queue.upgrade() {
                queue.wake();
            }
        }
    }
}

impl Drop for RecordQueue {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed here only, and the client still lives.
        unsafe { sys::rd_kafka_queue_destroy(self.native.as_ptr()) };
    }
}

/// A partition's way into a [`RecordQueue`].
pub struct Route {
    partition: NonNull<sys::rd_kafka_queue_t>,
    queue: Arc<RecordQueue>,
}

// SAFETY: as for `RecordQueue`.
unsafe impl Send for Route {}

impl Route {
    /// Forwards again. Stopping a partition ends its forwarding, some time after the call that stops it; a partition
    /// started again meanwhile collects its records until this is called, in order, and loses none.
    pub fn renew(&self) {
        // SAFETY: both queues live, as long as `self`.
        unsafe { sys::rd_kafka_queue_forward(self.partition.as_ptr(), self.queue.native.as_ptr()) };
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // SAFETY: made by `RecordQueue::route`, destroyed here only, and the client still lives.
        unsafe { sys::rd_kafka_queue_destroy(self.partition.as_ptr()) };
    }
}

/// The one reader of a queue.
pub struct RecordReader {
    /// Declared first, hence dropped before the queue.
    taken: Vec<LogMessage>,
    queue: Arc<RecordQueue>,
}

impl RecordReader {
    /// A reader without records.
    #[must_use]
    pub fn new(queue: Arc<RecordQueue>) -> Self {
        let taken = Vec::with_capacity(ROOM);
        Self { taken, queue }
    }

    /// Takes what is there, in log order within each partition: as soon as the call's room is full or the queue was
    /// woken, at the latest after `wait`.
    pub fn take(&mut self, wait: Duration) -> Taken<'_> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let room = self.taken.spare_capacity_mut();
        // SAFETY: `LogMessage` is a message pointer (`repr(transparent)`), and `room` has space for as many as said.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.native.as_ptr(),
                wait_ms,
                room.as_mut_ptr().cast(),
                room.len(),
            )
        };
        // SAFETY: `taken` was empty, and the call wrote that many pointers, none of them null; each is ours from now on.
        unsafe { self.taken.set_len(usize::try_from(count).unwrap_or(0)) };
        Taken(&mut self.taken)
    }
}

/// What one call took; given back to librdkafka when dropped.
pub struct Taken<'a>(&'a mut Vec<LogMessage>);

impl Deref for Taken<'_> {
    type Target = [LogMessage];

    fn deref(&self) -> &[LogMessage] {
        self.0
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A record, or an error in its place. Its bytes lie in the buffer that the broker's answer was read into.
#[repr(transparent)]
pub struct LogMessage(NonNull<sys::rd_kafka_message_t>);

// SAFETY: nothing of a message is bound to the thread that took it.
unsafe impl Send for LogMessage {}

/// Why fetching a partition does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("partition {partition}: {text} ({code:?})")]
pub struct FetchError {
    /// Partition.
    pub partition: i32,
    /// Kafka's code, or the client's.
    pub code: RDKafkaErrorCode,
    /// The client's explanation.
    pub text: String,
}

impl FetchError {
    /// Whether the position is outside the log.
    #[must_use]
    pub fn is_position_lost(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
        )
    }
}

impl LogMessage {
    fn native(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: alive and unchanged until `drop`.
        unsafe { self.0.as_ref() }
    }

    /// Partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.native().partition
    }

    /// Offset; of no meaning for an error.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.native().offset
    }

    /// The error, if this is none of the records.
    #[must_use]
    pub fn error(&self) -> Option<FetchError> {
        let native = self.native();
        (!self.is_record()).then(|| FetchError {
            partition: native.partition,
            code: native.err.into(),
            text: String::from_utf8_lossy(self.payload()).into_owned(),
        })
    }

    /// Whether this is a record.
    #[must_use]
    pub fn is_record(&self) -> bool {
        self.native().err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> RawRecord<'_> {
        let native = self.native();
        RawRecord {
            offset: native.offset,
            record_time_us: self.record_time_us(),
            // SAFETY: the message has so many bytes there until `drop`, and the record borrows it.
            key: unsafe { bytes(native.key, native.key_len) },
            value: self.payload(),
            headers: Some(self),
        }
    }

    fn record_time_us(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and `kind` is written before the call returns.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        known.then(|| millis.saturating_mul(1000))
    }

    /// The value, or the text of an error.
    fn payload(&self) -> &[u8] {
        let native = self.native();
        // SAFETY: the message has so many bytes there until `drop`.
        unsafe { bytes(native.payload, native.len) }
    }

    /// Header number `at`: name and value.
    #[expect(clippy::unused_self, reason = "the message lends what lies in it")]
    fn header(&self, headers: NonNull<sys::rd_kafka_headers_t>, at: usize) -> Option<(&str, Option<&[u8]>)> {
        let (mut name, mut value, mut length) = (null(), null(), 0);
        // SAFETY: `headers` belongs to this message; the three are written where the call succeeds.
        let answer = unsafe {
            sys::rd_kafka_header_get_all(headers.as_ptr(), at, &raw mut name, &raw mut value, &raw mut length)
        };
        if answer != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: a C string of this message.
        let name = unsafe { CStr::from_ptr(name) };
        // SAFETY: as many bytes as told, of this message.
        let value = (!value.is_null()).then(|| unsafe { bytes(value, length) });
        Some((name.to_str().unwrap_or("\u{fffd}"), value))
    }
}

/// Bytes of librdkafka's; none where it gives no address.
///
/// # Safety
/// There are `length` readable bytes at an address that is not null, unchanged for as long as `'a`.
unsafe fn bytes<'a>(start: *const std::ffi::c_void, length: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(start.cast(), length) }
}

impl RecordHeaders for LogMessage {
    fn json(&self) -> Option<String> {
        let mut headers = null_mut();
        // SAFETY: the message lives; where the call succeeds, it wrote headers that belong to the message.
        let answer = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        if answer != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let headers = NonNull::new(headers)?;
        Some(headers_json((0..).map_while(|at| self.header(headers, at))))
    }
}

impl Drop for LogMessage {
    fn drop(&mut self) {
        // SAFETY: ours since it was taken, and destroyed here only; the queue that it came from, and with it the
        // client, is alive because messages never leave their reader.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}
