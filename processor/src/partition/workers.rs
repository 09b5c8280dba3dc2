//! The workers as the asynchronous parts see them: requests with answers.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::actor::{Attached, Changed, Collected, PartitionReport, Request, Shared, WorkerMailbox, run_worker};
use super::{Resting, SnapshotImage, Verdict};
use crate::latest::Publish;
use crate::stores::Fence;

/// All worker threads of a process; a partition always goes to the same one.
pub struct Workers {
    mailboxes: Vec<Arc<WorkerMailbox>>,
}

/// The threads, to be joined after [`Workers::finish`].
pub struct WorkerThreads(Vec<JoinHandle<()>>);

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(count: usize, shared: &Shared) -> std::io::Result<(Self, WorkerThreads)> {
        let mut mailboxes = Vec::new();
        let mut threads = Vec::new();
        for number in 0..count.max(1) {
            let mailbox = Arc::new(WorkerMailbox::default());
            let (theirs, shared) = (Arc::clone(&mailbox), shared.clone());
            let builder = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(builder.spawn(move || run_worker(&theirs, shared))?);
            mailboxes.push(mailbox);
        }
        Ok((Self { mailboxes }, WorkerThreads(threads)))
    }

    /// The worker of a partition.
    #[must_use]
    pub fn mailbox(&self, partition: i32) -> &Arc<WorkerMailbox> {
        &self.mailboxes[partition.unsigned_abs() as usize % self.mailboxes.len()]
    }

    /// Hands a recovered partition to its worker.
    pub fn attach(&self, attached: Attached) {
        let mailbox = self.mailbox(attached.partition.fence().partition);
        mailbox.push(Request::Attach(Box::new(attached)));
    }

    /// Takes a partition out without finishing it.
    pub fn detach(&self, partition: i32) {
        self.mailbox(partition).push(Request::Detach(partition));
    }

    /// The next advances of all partitions.
    pub async fn collect(&self) -> Collected {
        let mut all = Collected::default();
        for collected in self.ask_all(Request::Collect).await {
            all.advances.extend(collected.advances);
            all.snapshots.extend(collected.snapshots);
        }
        all
    }

    /// Tells every worker the verdicts; each takes its own.
    pub fn settle(&self, verdicts: &[(Fence, Verdict)]) {
        for mailbox in &self.mailboxes {
            mailbox.push(Request::Settle(verdicts.to_vec()));
        }
    }

    /// Where progress must stand, of every partition without an advance under way.
    pub async fn resting(&self) -> Vec<Resting> {
        self.ask_all(Request::Resting).await.into_iter().flatten().collect()
    }

    /// What changed since the last call.
    pub async fn changed(&self) -> Vec<Changed> {
        self.ask_all(Request::Changed).await.into_iter().flatten().collect()
    }

    /// All views of a partition, where it is live here.
    pub async fn everything(&self, partition: i32) -> Option<Publish> {
        let (reply, answer) = oneshot::channel();
        self.mailbox(partition).push(Request::Everything(partition, reply));
        answer.await.ok().flatten()
    }

    /// Waits until every record handed over so far is done.
    pub async fn drain(&self) {
        let answers: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (reply, answer) = oneshot::channel();
                mailbox.push_after_records(Request::Drain(reply));
                answer
            })
            .collect();
        for answer in answers {
            // A worker that died has nothing left to drain.
            let _ = answer.await;
        }
    }

    /// The state of a partition whose every step is committed.
    pub async fn at_rest(&self, partition: i32) -> Option<SnapshotImage> {
        let (reply, answer) = oneshot::channel();
        self.mailbox(partition).push(Request::AtRest(partition, reply));
        answer.await.ok().flatten()
    }

    /// Every partition in order.
    pub async fn report(&self) -> Vec<PartitionReport> {
        let mut all: Vec<_> = self.ask_all(Request::Report).await.into_iter().flatten().collect();
        all.sort_by_key(|report| report.partition);
        all
    }

    /// Ends the threads.
    pub fn finish(&self) {
        for mailbox in &self.mailboxes {
            mailbox.push(Request::Finish);
        }
    }

    async fn ask_all<T>(&self, request: impl Fn(oneshot::Sender<T>) -> Request) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.mailboxes.len());
        for mailbox in &self.mailboxes {
            let (reply, answer) = oneshot::channel();
            mailbox.push(request(reply));
            answers.push(answer);
        }
        let mut given = Vec::with_capacity(answers.len());
        for answer in answers {
            // A worker that died answers nothing; its alarm ends the process.
            given.extend(answer.await.ok());
        }
        given
    }
}

impl WorkerThreads {
    /// Waits for their end.
    pub fn join(self) {
        for thread in self.0 {
            // A panic was told by the worker's alarm.
            let _ = thread.join();
        }
    }
}
