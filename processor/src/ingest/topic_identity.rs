//! The id that brokers give a topic at its creation: tells a recreated topic from the one a revision was made from.
//!
//! rdkafka has no safe call for it, so this module calls librdkafka's `DescribeTopics` itself.
//!
//! Safety, for the whole module: an [`Owned`] holds the only pointer to an object that librdkafka gave to us to destroy,
//! and destroys it once. What is read out of an event (result, description, id, texts) belongs to that event and is
//! copied while the event lives. The client is borrowed for the length of the call, and the queue is ours alone, so no
//! other thread takes the answer; librdkafka allows admin calls from any thread.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

/// Something to destroy exactly once.
struct Owned<T> {
    pointer: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        (!pointer.is_null()).then_some(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: not null, ours, and destroyed nowhere else.
        unsafe { (self.destroy)(self.pointer) }
    }
}

/// The topic's id in base64; `None` where the brokers give none, do not know the call, or do not answer in time.
#[must_use]
pub fn topic_identity<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Option<String> {
    let client = consumer.client().native_ptr();
    let name = CString::new(topic).ok()?;
    let mut names = [name.as_ptr()];
    // SAFETY: one valid C string, copied by the call.
    let topics = unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
    let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
    // SAFETY: the client lives as long as `consumer`.
    let queue = Owned::new(unsafe { sys::rd_kafka_queue_new(client) }, sys::rd_kafka_queue_destroy)?;
    let options = options(client, timeout)?;
    // SAFETY: all four are alive; the call copies what it keeps.
    unsafe { sys::rd_kafka_DescribeTopics(client, topics.pointer, options.pointer, queue.pointer) };
    // SAFETY: the queue is alive. A second more than the request has: librdkafka answers with a timeout of its own.
    let event = unsafe { sys::rd_kafka_queue_poll(queue.pointer, millis(timeout).saturating_add(1000)) };
    read(&Owned::new(event, sys::rd_kafka_event_destroy)?)
}

fn options(client: *mut sys::rd_kafka_t, timeout: Duration) -> Option<Owned<sys::rd_kafka_AdminOptions_t>> {
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the caller keeps the client alive.
    let options = unsafe { sys::rd_kafka_AdminOptions_new(client, operation) };
    let options = Owned::new(options, sys::rd_kafka_AdminOptions_destroy)?;
    let mut reason: [c_char; 256] = [0; 256];
    // SAFETY: the options are alive and `reason` is writable for its length.
    unsafe {
        let (text, length) = (reason.as_mut_ptr(), reason.len());
        sys::rd_kafka_AdminOptions_set_request_timeout(options.pointer, millis(timeout), text, length);
    }
    Some(options)
}

fn read(event: &Owned<sys::rd_kafka_event_t>) -> Option<String> {
    // SAFETY: everything below hangs on the event, which outlives this function; another kind of event gives a null result.
    unsafe {
        if sys::rd_kafka_event_error(event.pointer) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event.pointer);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 {
            return None;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*descriptions);
        if id.is_null() {
            return None;
        }
        let text = sys::rd_kafka_Uuid_base64str(id);
        let text = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        // All bits zero: a broker that gives no ids.
        text.filter(|text| !text.bytes().all(|byte| byte == b'A'))
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
