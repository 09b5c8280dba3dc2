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

/// By the digest of their connection, with the time they were asked for last.
type Handles = HashMap<String, (Arc<KafkaHandle>, Instant)>;

/// The handles.
pub struct KafkaPool {
    handles: Mutex<Handles>,
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

    /// The handle of a connection, made where there is none. Called on a runtime.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn get(&self, connection: &Connection) -> Result<Arc<KafkaHandle>, KafkaError> {
        let (digest, now) = (connection.digest(), Instant::now());
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        close(take_idle(&mut handles, now));
        if let Some((handle, used)) = handles.get_mut(&digest) {
            *used = now;
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(KafkaHandle::new(connection, self.age, self.calls.clone())?);
        handles.insert(digest, (Arc::clone(&handle), now));
        Ok(handle)
    }
}

fn take_idle(handles: &mut Handles, now: Instant) -> Vec<Arc<KafkaHandle>> {
    let idle = handles.extract_if(|_, (_, used)| now.duration_since(*used) >= IDLE_LIMIT);
    idle.map(|(_, (handle, _))| handle).collect()
}

/// A client that is dropped waits for its threads: nobody who asks for another handle waits with it.
fn close<T: Send + 'static>(handles: Vec<T>) {
    if !handles.is_empty() {
        tokio::task::spawn_blocking(move || drop(handles));
    }
}

#[cfg(test)]
mod tests {
    use assay_crds::spec::KafkaSpec;
    use prometheus::Opts;

    use super::super::config::KafkaCredentials;
    use super::*;

    fn pool() -> KafkaPool {
        let calls = IntCounterVec::new(Opts::new("calls", "Calls."), &["call"]).unwrap();
        KafkaPool::new(Duration::ZERO, calls)
    }

    /// Nobody answers there, and nobody is asked.
    fn connection() -> Connection {
        let spec: KafkaSpec = serde_json::from_value(serde_json::json!({"bootstrapServers": "127.0.0.1:1"})).unwrap();
        Connection::new(&spec, &KafkaCredentials::default())
    }

    #[test]
    fn a_handle_is_shared_until_nobody_asked_for_it_for_long() {
        let pool = pool();
        let (first, second) = (pool.get(&connection()).unwrap(), pool.get(&connection()).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        let mut handles = pool.handles.lock().unwrap();
        assert!(take_idle(&mut handles, Instant::now()).is_empty());
        let idle = take_idle(&mut handles, Instant::now() + IDLE_LIMIT);
        assert_eq!((idle.len(), handles.len()), (1, 0));
    }

    /// Tells which thread it went on.
    struct Telltale(std::sync::mpsc::Sender<std::thread::ThreadId>);

    impl Drop for Telltale {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_handle_is_closed_beside_whoever_asks_for_another() {
        let (went, told) = std::sync::mpsc::channel();
        close(vec![Telltale(went)]);
        assert_ne!(told.recv().unwrap(), std::thread::current().id());
    }
}
