//! Requests that wait for a worker. They go before records, which wait in the worker's own queue.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

struct Lane<C> {
    requests: VecDeque<C>,
    closed: bool,
}

/// The requests of one worker.
pub struct Mailbox<C> {
    lane: Mutex<Lane<C>>,
    filled: Condvar,
    /// Ends the worker's wait for records.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<C> Mailbox<C> {
    /// An empty mailbox; `wake` is called after each request.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let lane = Lane {
            requests: VecDeque::new(),
            closed: false,
        };
        Self {
            lane: Mutex::new(lane),
            filled: Condvar::new(),
            wake: Box::new(wake),
        }
    }

    /// Sends a request; drops it where the worker has ended, so that its sender notices.
    pub fn push(&self, request: C) {
        let refused = self.with(|lane| {
            if lane.closed {
                return Some(request);
            }
            lane.requests.push_back(request);
            None
        });
        if refused.is_none() {
            self.filled.notify_one();
            (self.wake)();
        }
    }

    /// The next request, if there is one.
    pub fn take(&self) -> Option<C> {
        self.with(|lane| lane.requests.pop_front())
    }

    /// Waits for the next request.
    pub fn wait(&self) -> C {
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match lane.requests.pop_front() {
                Some(request) => return request,
                None => lane = self.filled.wait(lane).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Drops what waits and whatever comes: nobody takes any more.
    pub fn close(&self) {
        let left = self.with(|lane| {
            lane.closed = true;
            std::mem::take(&mut lane.requests)
        });
        // Outside the lock: dropping a request may wake its sender.
        drop(left);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Lane<C>) -> T) -> T {
        change(&mut self.lane.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn requests_come_in_order_and_each_wakes_the_reader() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let mailbox = Mailbox::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        mailbox.push("collect");
        mailbox.push("settle");
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert_eq!(
            (mailbox.wait(), mailbox.take(), mailbox.take()),
            ("collect", Some("settle"), None)
        );
    }

    #[test]
    fn whoever_asks_an_ended_worker_is_told_at_once() {
        let mailbox = Mailbox::new(|| ());
        let (before, answer) = mpsc::channel::<()>();
        mailbox.push(before);
        mailbox.close();
        assert!(answer.recv().is_err());
        let (after, answer) = mpsc::channel::<()>();
        mailbox.push(after);
        assert!(answer.recv().is_err());
    }
}
