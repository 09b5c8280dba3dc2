//! What rdkafka does not offer on an admin client: `IncrementalAlterConfigs`, which leaves unnamed keys alone, `DescribeTopics`, which
//! tells a topic's id, `ListOffsets`, and the errors that a client tells beside its answers. Calls block for at most the given time.
//!
//! Safety, for the whole module. Every pointer that librdkafka hands out is one of two kinds. *Owned*: queue, options, config
//! resource, topic collection, event; each is wrapped at once in `Owned`, which destroys it exactly once. *Borrowed*: what hangs below
//! an event (results, descriptions, ids, texts); it lives as long as its event, and is copied into Rust values before the event is
//! dropped, inside the same function. The client outlives every call because it is borrowed for it. librdkafka's admin API may be called
//! from any thread; each admin call here has a queue of its own, so no other thread can take its answer.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::error::KafkaError;

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// The id the brokers gave it, base64.
    pub id: String,
    /// Partitions.
    pub partitions: i32,
    /// Copies of the partition that has fewest.
    pub replication_factor: i32,
}

/// A pointer with the function that destroys it.
struct Owned<T> {
    pointer: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes a pointer over; a null one is an error of the call that gave it.
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        if pointer.is_null() {
            return Err(KafkaError::Internal("librdkafka gave no memory".to_owned()));
        }
        Ok(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the call that pairs with `destroy`, is not null, and is destroyed only here.
        unsafe { (self.destroy)(self.pointer) }
    }
}

/// Describes topics, by name; `None` for one that does not exist.
pub(super) fn describe_topics(client: &Client, topics: &[String], timeout: Duration) -> Result<Described, KafkaError> {
    let texts = topics.iter().map(|topic| text(topic)).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<*const c_char> = texts.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `names` holds valid C strings for the length of the call, which copies them.
    let topics = Owned::new(
        unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) },
        sys::rd_kafka_TopicCollection_destroy,
    )?;
    let event = call(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        timeout,
        |options, queue| {
            // SAFETY: all four pointers are alive; the call copies what it keeps.
            unsafe { sys::rd_kafka_DescribeTopics(client.native_ptr(), topics.pointer, options, queue) }
        },
    )?;
    // SAFETY: the event is of the matching type, as `call` saw it answered without error; a mismatch gives null, checked next.
    let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(event.pointer) };
    if result.is_null() {
        return Err(KafkaError::Internal(
            "DescribeTopics gave another kind of answer".to_owned(),
        ));
    }
    // SAFETY: `result` belongs to the event, which is alive; the array holds `count` valid pointers.
    unsafe {
        let mut count = 0;
        let array = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let descriptions = (0..count).map(|index| *array.add(index));
        Ok(descriptions
            .map(|one| (copy(sys::rd_kafka_TopicDescription_name(one)), read_description(one)))
            .collect())
    }
}

/// What became of each topic that was asked about.
type Described = BTreeMap<String, Result<Option<TopicDescription>, KafkaError>>;

/// Copies a description that belongs to a living event.
fn read_description(
    description: *const sys::rd_kafka_TopicDescription_t,
) -> Result<Option<TopicDescription>, KafkaError> {
    // SAFETY: the description belongs to an event that the caller keeps alive; every pointer below hangs on it and is copied here.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            let code = sys::rd_kafka_error_code(error);
            if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART {
                return Ok(None);
            }
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(KafkaError::from_code(
                    code.into(),
                    &copy(sys::rd_kafka_error_string(error)),
                ));
            }
        }
        let id = copy(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(
            description,
        )));
        let mut count = 0;
        let array = sys::rd_kafka_TopicDescription_partitions(description, &raw mut count);
        let mut replication = usize::MAX;
        for index in 0..count {
            let mut replicas = 0;
            sys::rd_kafka_TopicPartitionInfo_replicas(*array.add(index), &raw mut replicas);
            replication = replication.min(replicas);
        }
        Ok(Some(TopicDescription {
            id,
            partitions: i32::try_from(count).unwrap_or(i32::MAX),
            replication_factor: i32::try_from(replication).unwrap_or(0),
        }))
    }
}

/// Sets the named keys of a topic and leaves every other one alone.
pub(super) fn alter_topic_configs(
    client: &Client,
    topic: &str,
    settings: &[(String, String)],
    timeout: Duration,
) -> Result<(), KafkaError> {
    let name = text(topic)?;
    // SAFETY: `name` is a valid C string, copied by the call.
    let resource = Owned::new(
        unsafe {
            sys::rd_kafka_ConfigResource_new(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr())
        },
        sys::rd_kafka_ConfigResource_destroy,
    )?;
    for (key, value) in settings {
        add_setting(&resource, key, value)?;
    }
    let mut resources = [resource.pointer];
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let event = call(client, op, timeout, |options, queue| {
        // SAFETY: `resources` holds one living resource; the call copies what it keeps.
        unsafe {
            sys::rd_kafka_IncrementalAlterConfigs(
                client.native_ptr(),
                resources.as_mut_ptr(),
                resources.len(),
                options,
                queue,
            );
        }
    })?;
    // SAFETY: everything read here hangs on the event, which lives to the end of the function.
    unsafe {
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.pointer);
        if result.is_null() {
            return Err(KafkaError::Internal(
                "IncrementalAlterConfigs gave another kind of answer".to_owned(),
            ));
        }
        let mut count = 0;
        let array = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        for index in 0..count {
            let code = sys::rd_kafka_ConfigResource_error(*array.add(index));
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let reason = copy(sys::rd_kafka_ConfigResource_error_string(*array.add(index)));
                return Err(KafkaError::from_code(code.into(), &reason));
            }
        }
    }
    Ok(())
}

fn add_setting(resource: &Owned<sys::rd_kafka_ConfigResource_t>, key: &str, value: &str) -> Result<(), KafkaError> {
    let (key, value) = (text(key)?, text(value)?);
    let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
    // SAFETY: the resource is alive and both texts are valid C strings, copied by the call; an error it gives is ours to destroy.
    let error = unsafe {
        sys::rd_kafka_ConfigResource_add_incremental_config(resource.pointer, key.as_ptr(), set, value.as_ptr())
    };
    if error.is_null() {
        return Ok(());
    }
    let error = Owned::new(error, sys::rd_kafka_error_destroy)?;
    // SAFETY: the error is alive until the end of the function; its text is copied.
    Err(KafkaError::Internal(unsafe {
        copy(sys::rd_kafka_error_string(error.pointer))
    }))
}

/// Asks for the offset of each element, whose own offset is the time in milliseconds since the epoch, or stands for the log's start or
/// end; the answer, or the reason why there is none, takes its place. One question to each broker that leads any of the partitions.
pub(super) fn list_offsets(
    client: &Client,
    list: &mut TopicPartitionList,
    timeout: Duration,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client and list are alive, and the list is changed by this call alone.
    let code = unsafe { sys::rd_kafka_offsets_for_times(client.native_ptr(), list.ptr(), millis(timeout)) };
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// Takes the errors that the client has told since the last look, such as why a broker does not let it in. Nobody else reads this
/// queue: what is never taken piles up.
pub(super) fn take_errors(client: &Client) -> Result<Vec<(RDKafkaErrorCode, String)>, KafkaError> {
    // SAFETY: the client is alive; the reference to its queue is owned from here on.
    let main = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
    let queue = Owned::new(main, sys::rd_kafka_queue_destroy)?;
    let mut errors = Vec::new();
    loop {
        // SAFETY: the queue is alive; the event is owned from here on.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.pointer, 0) };
        if event.is_null() {
            return Ok(errors);
        }
        let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
        // SAFETY: the event is alive.
        if unsafe { sys::rd_kafka_event_type(event.pointer) } == sys::RD_KAFKA_EVENT_ERROR {
            errors.push(error_of(&event));
        }
    }
}

/// Sends one admin request and waits for its answer on a queue of its own.
fn call(
    client: &Client,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Owned<sys::rd_kafka_event_t>, KafkaError> {
    let millis = millis(timeout);
    // SAFETY: the client is alive; both results are owned from here on.
    let queue = Owned::new(
        unsafe { sys::rd_kafka_queue_new(client.native_ptr()) },
        sys::rd_kafka_queue_destroy,
    )?;
    let options = Owned::new(
        unsafe { sys::rd_kafka_AdminOptions_new(client.native_ptr(), operation) },
        sys::rd_kafka_AdminOptions_destroy,
    )?;
    let mut reason = [0 as c_char; 512];
    // SAFETY: the options are alive and `reason` is writable for the length given.
    unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.pointer, millis, reason.as_mut_ptr(), reason.len());
    }
    send(options.pointer, queue.pointer);
    // One second more than the request has: librdkafka answers with a timeout of its own.
    // SAFETY: the queue is alive; the event is owned from here on.
    let event = unsafe { sys::rd_kafka_queue_poll(queue.pointer, millis.saturating_add(1000)) };
    if event.is_null() {
        return Err(KafkaError::Unreachable("no answer in time".to_owned()));
    }
    let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
    match error_of(&event) {
        (RDKafkaErrorCode::NoError, _) => Ok(event),
        (code, reason) => Err(KafkaError::from_code(code, &reason)),
    }
}

fn error_of(event: &Owned<sys::rd_kafka_event_t>) -> (RDKafkaErrorCode, String) {
    // SAFETY: the event is alive; its text is copied.
    unsafe {
        let reason = copy(sys::rd_kafka_event_error_string(event.pointer));
        (sys::rd_kafka_event_error(event.pointer).into(), reason)
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn text(value: &str) -> Result<CString, KafkaError> {
    CString::new(value).map_err(|_| KafkaError::Internal(format!("{value:?} holds a zero byte; remove it")))
}

/// Copies a C string; null gives an empty text.
///
/// # Safety
/// `pointer` is null or a valid C string for the length of the call.
unsafe fn copy(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
