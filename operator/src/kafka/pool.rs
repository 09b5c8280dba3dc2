//! Shared handles by connection, closed when idle: five hundred pipelines on one credential are one client, not five hundred.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;

use super::config::Connection;
use super::error::KafkaError;
use super::handle::KafkaHandle;

/// A handle that nobody asked for this long is closed.
pub const IDLE_LIMIT: Duration = Duration::from_mins(3);

/// The handles.
pub struct KafkaPool {
    handles: Mutex<HashMap<String, (Arc<KafkaHandle>, Instant)>>,
    /// How long what was found of a topic is believed.
    age: Duration,
    calls: IntCounterVec,
}

impl KafkaPool {
    /// Without handles; what was found of a topic is believed for `age`; `calls` counts what all of them ask, by call.
    #[must_use]
    pub fn new(age: Duration, calls: IntCounterVec) -> Self {
        Self {
            handles: Mutex::default(),
            age,
            calls,
        }
    }

    /// The handle of a connection, made where there is none.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn get(&self, connection: &Connection) -> Result<Arc<KafkaHandle>, KafkaError> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        handles.retain(|_, (_, used)| now.duration_since(*used) < IDLE_LIMIT);
        let digest = connection.digest();
        if let Some((handle, used)) = handles.get_mut(&digest) {
            *used = now;
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(KafkaHandle::new(connection, self.age, self.calls.clone())?);
        handles.insert(digest, (Arc::clone(&handle), now));
        Ok(handle)
    }
}
