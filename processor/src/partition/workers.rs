//! The workers as the asynchronous parts see them: requests with answers.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::actor::{
    Attached, Changed, Collected, PartitionReport, Request, Shared, Standstill, WorkerMailbox, run_worker,
};
use super::{Resting, SnapshotImage, Verdict};
use crate::ingest::record_queue::{RecordQueue, RecordReader};
use crate::latest::Publish;
use crate::stores::Fence;

/// All worker threads of a process; a partition always goes to the same one.
pub struct Workers {
    mailboxes: Vec<Arc<WorkerMailbox>>,
}

/// The threads, to be joined after [`Workers::finish`].
pub struct WorkerThreads(Vec<JoinHandle<()>>);

/// Workers that stand still until this is dropped.
pub struct Parked(#[expect(dead_code, reason = "dropping the senders is the signal")] Vec<Sender<()>>);

/// The number of the worker that a partition belongs to.
#[must_use]
pub fn worker_of(partition: i32, workers: usize) -> usize {
    partition.unsigned_abs() as usize % workers
}

impl Workers {
    /// Starts a thread for each queue, of which there is at least one.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(queues: &[Arc<RecordQueue>], shared: &Shared) -> std::io::Result<(Self, WorkerThreads)> {
        let mut mailboxes = Vec::new();
        let mut threads = Vec::new();
        for (number, queue) in queues.iter().enumerate() {
            let mailbox = Arc::new(WorkerMailbox::new(queue.waker()));
            let (theirs, shared) = (Arc::clone(&mailbox), shared.clone());
            let reader = RecordReader::new(Arc::clone(queue));
            let builder = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(builder.spawn(move || run_worker(&theirs, reader, shared))?);
            mailboxes.push(mailbox);
        }
        Ok((Self { mailboxes }, WorkerThreads(threads)))
    }

    fn mailbox(&self, partition: i32) -> &Arc<WorkerMailbox> {
        &self.mailboxes[worker_of(partition, self.mailboxes.len())]
    }

    /// Makes the workers of some partitions stand still, done with all the records they took, until the answer is
    /// dropped.
    #[must_use = "the workers go on as soon as this is dropped"]
    pub fn park(&self, partitions: &[i32]) -> Parked {
        let wanted = |number: &usize| {
            partitions
                .iter()
                .any(|p| worker_of(*p, self.mailboxes.len()) == *number)
        };
        let (waits, go_ons) = (0..self.mailboxes.len())
            .filter(wanted)
            .map(|number| {
                let ((here, stands), (go_on, until)) = (channel(), channel());
                self.mailboxes[number].push(Request::StandStill(Standstill { here, until }));
                (stands, go_on)
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        for stands in waits {
            // A worker that ended stands still.
            let _ = stands.recv();
        }
        Parked(go_ons)
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

    /// The next advances of all partitions, with snapshots where they are wanted and due.
    pub async fn collect(&self, wants_snapshot: bool) -> Collected {
        let mut all = Collected::default();
        for collected in self.ask_all(|reply| Request::Collect { wants_snapshot, reply }).await {
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

    /// Ends the intake of some partitions: when this returns, every record that was taken is done.
    pub async fn drain(&self, partitions: &[i32]) {
        let answers: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (reply, answer) = oneshot::channel();
                mailbox.push(Request::Drain(partitions.to_vec(), reply));
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
