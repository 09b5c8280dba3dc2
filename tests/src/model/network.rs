//! Messages in the order of their arrival, as late as chance wants them.

use std::collections::BTreeMap;

use super::calls::{Answer, Call};

/// Who waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    /// Index of the process.
    pub(super) process: usize,
    /// Its life.
    pub(super) life: u64,
    /// Its revision.
    pub(super) revision: usize,
    /// Number of the request.
    pub(super) request: u64,
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Message {
    /// A request at a store; whether its reply gets lost.
    Request(Sender, Call, bool),
    /// A reply, or the end of the sender's patience.
    Reply(Sender, Answer),
    /// The group gives a partition.
    Assign {
        /// To whom.
        process: usize,
        /// Which.
        partition: i32,
        /// Of which rebalance.
        generation: u64,
    },
    /// The group takes a partition.
    Revoke {
        /// From whom.
        process: usize,
        /// Which.
        partition: i32,
        /// Of which rebalance.
        generation: u64,
    },
}

/// Everything under way.
#[derive(Debug, Default)]
pub(super) struct Network {
    messages: BTreeMap<(u64, u64), Message>,
    sent: u64,
}

impl Network {
    /// Sends a message that arrives at `when`; of two at one time the first sent comes first.
    pub(super) fn send(&mut self, when: u64, message: Message) {
        self.sent += 1;
        self.messages.insert((when, self.sent), message);
    }

    /// The next message that is due.
    pub(super) fn due(&mut self, now: u64) -> Option<Message> {
        let entry = self.messages.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Requests to the result store that never arrive, because its machine is gone.
    pub(super) fn drop_store_requests(&mut self) {
        self.messages
            .retain(|_, message| !matches!(message, Message::Request(_, call, _) if !call.is_for_projection()));
    }
}
