//! What waits for a worker, and how much of it a partition may have.
//!
//! Control goes before records, except what must come after the records sent before it ([`Mailbox::push_after_records`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// A partition's intake pauses above this many queued bytes …
pub const HIGH_WATER_BYTES: usize = 4 * 1024 * 1024;
/// … and goes on below this many.
pub const LOW_WATER_BYTES: usize = 1024 * 1024;

/// Bytes of one partition that wait for its worker; shared by the poll thread and the worker.
#[derive(Debug, Default)]
pub struct Backlog(AtomicUsize);

impl Backlog {
    /// Adds queued bytes.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes worked-off bytes away.
    pub fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether intake must pause.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HIGH_WATER_BYTES
    }

    /// Whether a paused intake may go on.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.0.load(Ordering::Relaxed) <= LOW_WATER_BYTES
    }
}

#[derive(Debug)]
struct Lanes<C, R> {
    control: VecDeque<C>,
    records: VecDeque<Lane<C, R>>,
}

#[derive(Debug)]
enum Lane<C, R> {
    Records(R),
    Control(C),
}

/// What a worker takes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Mail<C, R> {
    /// A request.
    Control(C),
    /// Records.
    Records(R),
}

/// The two lanes of one worker.
#[derive(Debug)]
pub struct Mailbox<C, R> {
    lanes: Mutex<Lanes<C, R>>,
    filled: Condvar,
}

impl<C, R> Default for Mailbox<C, R> {
    fn default() -> Self {
        let lanes = Lanes {
            control: VecDeque::new(),
            records: VecDeque::new(),
        };
        Self {
            lanes: Mutex::new(lanes),
            filled: Condvar::new(),
        }
    }
}

impl<C, R> Mailbox<C, R> {
    /// Sends a request ahead of all records.
    pub fn push(&self, control: C) {
        self.with(|lanes| lanes.control.push_back(control));
    }

    /// Sends a request behind the records that wait already.
    pub fn push_after_records(&self, control: C) {
        self.with(|lanes| lanes.records.push_back(Lane::Control(control)));
    }

    /// Sends records.
    pub fn push_records(&self, records: R) {
        self.with(|lanes| lanes.records.push_back(Lane::Records(records)));
    }

    /// Waits for the next mail; with `held`, records and what follows them stay where they are.
    pub fn take(&self, held: bool) -> Mail<C, R> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(control) = lanes.control.pop_front() {
                return Mail::Control(control);
            }
            let next = if held { None } else { lanes.records.pop_front() };
            match next {
                Some(Lane::Control(control)) => return Mail::Control(control),
                Some(Lane::Records(records)) => return Mail::Records(records),
                None => lanes = self.filled.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn with(&self, change: impl FnOnce(&mut Lanes<C, R>)) {
        change(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        self.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_goes_before_records() {
        let mailbox: Mailbox<&str, u8> = Mailbox::default();
        mailbox.push_records(1);
        mailbox.push("flush");
        assert_eq!(mailbox.take(false), Mail::Control("flush"));
        assert_eq!(mailbox.take(false), Mail::Records(1));
    }

    #[test]
    fn a_drain_comes_after_the_records_before_it() {
        let mailbox: Mailbox<&str, u8> = Mailbox::default();
        mailbox.push_records(1);
        mailbox.push_after_records("drain");
        mailbox.push_records(2);
        let order: Vec<_> = (0..3).map(|_| mailbox.take(false)).collect();
        assert_eq!(order, [Mail::Records(1), Mail::Control("drain"), Mail::Records(2)]);
    }

    #[test]
    fn a_held_worker_still_answers_requests() {
        let mailbox: Mailbox<&str, u8> = Mailbox::default();
        mailbox.push_records(1);
        mailbox.push("settle");
        assert_eq!(mailbox.take(true), Mail::Control("settle"));
        assert_eq!(mailbox.take(false), Mail::Records(1));
    }

    #[test]
    fn a_backlog_has_two_water_marks() {
        let backlog = Backlog::default();
        backlog.add(HIGH_WATER_BYTES);
        assert!(backlog.is_full());
        backlog.remove(HIGH_WATER_BYTES - LOW_WATER_BYTES - 1);
        assert!(!backlog.is_full() && !backlog.is_low());
        backlog.remove(1);
        assert!(backlog.is_low());
    }
}
