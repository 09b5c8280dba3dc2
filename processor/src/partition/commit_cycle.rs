//! One flush of all dirty partitions: which call to the store comes next, and what its answer means for whom.
//!
//! The same cycle looks after partitions at rest: a store that lost commits in a failover would otherwise be noticed only
//! by their next commit, and on a quiet log there is none.
//!
//! Pure. The driver performs what [`CommitCycle::step`] names and hands the answer back, until it is `Done`.

use std::collections::BTreeMap;

use super::Stop;
use crate::stores::{Advance, Fence, Progress, StoreError};

/// What a partition's advance came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rows and the new offset are in the tables.
    Advanced,
    /// Another owner took the partition over.
    Fenced,
    /// The epoch is ours but progress stands elsewhere: the store lost commits. Recover from the store again.
    Restart,
    /// This partition cannot go on.
    Stopped(Stop),
}

/// A partition without an advance under way, and where its owner believes progress to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// Whose right it is to write.
    pub fence: Fence,
    /// Everything below is in the tables.
    pub committed: i64,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CycleStep<'a> {
    /// Commit these as one statement, then [`CommitCycle::committed`].
    Commit(&'a [Advance]),
    /// Read the revision's progress, then [`CommitCycle::progress_read`]; retry until the store answers.
    ReadProgress,
    /// Every partition has its verdict.
    Done,
}

/// A flush under way.
#[derive(Debug)]
pub struct CommitCycle {
    /// Statements still to make; the last one is due. A settled advance leaves its statement.
    statements: Vec<Vec<Advance>>,
    /// Partitions at rest that progress has not confirmed yet.
    resting: Vec<Resting>,
    in_doubt: bool,
    ambiguous: u64,
    verdicts: BTreeMap<i32, Verdict>,
}

impl CommitCycle {
    /// Starts a flush; at most one advance per partition.
    #[must_use]
    pub fn new(advances: Vec<Advance>) -> Self {
        let statements = if advances.is_empty() {
            Vec::new()
        } else {
            vec![advances]
        };
        Self {
            statements,
            resting: Vec::new(),
            in_doubt: false,
            ambiguous: 0,
            verdicts: BTreeMap::new(),
        }
    }

    /// Also compares partitions at rest with progress; a verdict is given only where they differ.
    #[must_use]
    pub fn and_check(self, resting: Vec<Resting>) -> Self {
        Self { resting, ..self }
    }

    /// What to do next.
    #[must_use]
    pub fn step(&self) -> CycleStep<'_> {
        match self.statements.last() {
            None if self.resting.is_empty() => CycleStep::Done,
            None => CycleStep::ReadProgress,
            Some(_) if self.in_doubt => CycleStep::ReadProgress,
            Some(statement) => CycleStep::Commit(statement),
        }
    }

    /// Takes the store's answer to `Commit`.
    pub fn committed(&mut self, answer: Result<Vec<i32>, StoreError>) {
        match answer {
            Ok(moved) => {
                self.settle(|advance| moved.contains(&advance.fence.partition).then_some(Verdict::Advanced));
                // Those that did not move are fenced or stand elsewhere; progress tells which.
                self.in_doubt = !self.due_is_settled();
            }
            Err(StoreError::NotAsked(_)) => {}
            Err(error) if error.is_outage() => {
                self.ambiguous += 1;
                self.in_doubt = true;
            }
            Err(error) => self.refused(&error),
        }
        self.drop_settled();
    }

    /// Takes the progress rows read while a reply was in doubt.
    pub fn progress_read(&mut self, rows: &[Progress]) {
        self.in_doubt = false;
        self.settle(|advance| resolve(advance, rows));
        self.drop_settled();
        for Resting { fence, committed } in self.resting.drain(..) {
            match stand(&fence, rows) {
                Ok(found) if found == committed => {}
                Ok(_) => drop(self.verdicts.insert(fence.partition, Verdict::Restart)),
                Err(verdict) => drop(self.verdicts.insert(fence.partition, verdict)),
            }
        }
    }

    /// How often a reply was lost and progress had to tell.
    #[must_use]
    pub fn ambiguous(&self) -> u64 {
        self.ambiguous
    }

    /// The verdicts by partition; complete at [`CycleStep::Done`].
    #[must_use]
    pub fn into_verdicts(self) -> BTreeMap<i32, Verdict> {
        self.verdicts
    }

    /// Moves every advance of the due statement that `verdict` judges out of it.
    fn settle(&mut self, verdict: impl Fn(&Advance) -> Option<Verdict>) {
        let Some(due) = self.statements.last_mut() else { return };
        due.retain(|advance| match verdict(advance) {
            Some(verdict) => {
                self.verdicts.insert(advance.fence.partition, verdict);
                false
            }
            None => true,
        });
    }

    fn refused(&mut self, error: &StoreError) {
        let Some(due) = self.statements.pop() else { return };
        if due.len() > 1 {
            // One partition's rows spoil the statement of all: flush each alone, so that only that one stops.
            self.statements
                .extend(due.into_iter().rev().map(|advance| vec![advance]));
            return;
        }
        for advance in due {
            self.verdicts
                .insert(advance.fence.partition, Verdict::Stopped(stop_of(error)));
        }
    }

    fn due_is_settled(&self) -> bool {
        self.statements.last().is_none_or(Vec::is_empty)
    }

    fn drop_settled(&mut self) {
        self.statements.retain(|statement| !statement.is_empty());
    }
}

fn stop_of(error: &StoreError) -> Stop {
    match error {
        StoreError::UniqueViolation(row) => Stop::RowExists(row.clone()),
        other => Stop::StoreRefused(other.to_string()),
    }
}

/// What became of an advance whose reply is missing; `None` = it did not happen and may be tried again.
fn resolve(advance: &Advance, rows: &[Progress]) -> Option<Verdict> {
    match stand(&advance.fence, rows) {
        Err(verdict) => Some(verdict),
        Ok(found) if found == advance.to_offset => Some(Verdict::Advanced),
        Ok(found) if found == advance.from_offset => None,
        Ok(_) => Some(Verdict::Restart),
    }
}

/// Where progress stands under this fence, or why it says nothing to its owner.
fn stand(fence: &Fence, rows: &[Progress]) -> Result<i64, Verdict> {
    match rows.iter().find(|row| row.fence.partition == fence.partition) {
        None => Err(Verdict::Stopped(Stop::ProgressMissing)),
        Some(row) if row.fence != *fence => Err(Verdict::Fenced),
        Some(row) => Ok(row.next_offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_engine::Counters;

    fn fence(partition: i32, epoch: i64) -> Fence {
        Fence {
            pipeline: "p".into(),
            revision: "r".into(),
            partition,
            epoch,
            owner_nonce: 7,
        }
    }

    fn advance(partition: i32) -> Advance {
        Advance {
            fence: fence(partition, 1),
            from_offset: 10,
            to_offset: 20,
            watermark_us: None,
            state_digest: String::new(),
            record_digest: String::new(),
            counters: Counters::default(),
            live_from_offset: 0,
            forecasts: vec![],
            outcomes: vec![],
            faults: vec![],
            dead_letters: vec![],
        }
    }

    fn progress(partition: i32, epoch: i64, next_offset: i64) -> Progress {
        Progress {
            fence: fence(partition, epoch),
            start_offset: 0,
            live_from_offset: 0,
            next_offset,
            watermark_us: None,
            state_digest: String::new(),
            record_digest: String::new(),
            counters: String::new(),
        }
    }

    fn lost() -> StoreError {
        StoreError::Unavailable("reply lost".into())
    }

    fn due(cycle: &CommitCycle) -> Vec<i32> {
        match cycle.step() {
            CycleStep::Commit(batch) => batch.iter().map(|advance| advance.fence.partition).collect(),
            other => panic!("expected a commit, got {other:?}"),
        }
    }

    fn verdicts(cycle: CommitCycle) -> Vec<(i32, Verdict)> {
        assert_eq!(cycle.step(), CycleStep::Done);
        cycle.into_verdicts().into_iter().collect()
    }

    #[test]
    fn an_empty_flush_is_done() {
        assert_eq!(CommitCycle::new(vec![]).step(), CycleStep::Done);
    }

    #[test]
    fn partitions_that_moved_have_advanced() {
        let mut cycle = CommitCycle::new(vec![advance(0), advance(1)]);
        cycle.committed(Ok(vec![0, 1]));
        assert_eq!(verdicts(cycle), [(0, Verdict::Advanced), (1, Verdict::Advanced)]);
    }

    #[test]
    fn a_partition_that_did_not_move_is_looked_up_and_found_fenced() {
        let mut cycle = CommitCycle::new(vec![advance(0), advance(1)]);
        cycle.committed(Ok(vec![0]));
        assert_eq!(cycle.step(), CycleStep::ReadProgress);
        cycle.progress_read(&[progress(0, 1, 20), progress(1, 2, 10)]);
        assert_eq!(verdicts(cycle), [(0, Verdict::Advanced), (1, Verdict::Fenced)]);
    }

    #[test]
    fn a_lost_reply_of_a_done_commit_is_done() {
        let mut cycle = CommitCycle::new(vec![advance(0)]);
        cycle.committed(Err(lost()));
        cycle.progress_read(&[progress(0, 1, 20)]);
        assert_eq!(cycle.ambiguous(), 1);
        assert_eq!(verdicts(cycle), [(0, Verdict::Advanced)]);
    }

    #[test]
    fn a_lost_reply_of_an_undone_commit_sends_the_same_batch_again() {
        let mut cycle = CommitCycle::new(vec![advance(0), advance(1)]);
        cycle.committed(Err(lost()));
        cycle.progress_read(&[progress(0, 1, 20), progress(1, 1, 10)]);
        assert_eq!(due(&cycle), [1]);
        cycle.committed(Ok(vec![1]));
        assert_eq!(verdicts(cycle), [(0, Verdict::Advanced), (1, Verdict::Advanced)]);
    }

    #[test]
    fn a_statement_that_an_open_circuit_kept_is_in_no_doubt() {
        let mut cycle = CommitCycle::new(vec![advance(0)]);
        cycle.committed(Err(StoreError::NotAsked(std::time::Duration::from_secs(1))));
        assert_eq!((due(&cycle), cycle.ambiguous()), (vec![0], 0));
    }

    #[test]
    fn own_epoch_at_another_offset_restarts_from_the_snapshot() {
        let mut cycle = CommitCycle::new(vec![advance(0)]);
        cycle.committed(Err(lost()));
        cycle.progress_read(&[progress(0, 1, 5)]);
        assert_eq!(verdicts(cycle), [(0, Verdict::Restart)]);
    }

    #[test]
    fn a_refused_statement_is_flushed_partition_by_partition_and_only_the_spoiler_stops() {
        let mut cycle = CommitCycle::new(vec![advance(0), advance(1), advance(2)]);
        cycle.committed(Err(StoreError::Refused("disk full".into())));
        assert_eq!(due(&cycle), [0]);
        cycle.committed(Ok(vec![0]));
        assert_eq!(due(&cycle), [1]);
        cycle.committed(Err(StoreError::UniqueViolation("forecasts 42".into())));
        assert_eq!(due(&cycle), [2]);
        cycle.committed(Ok(vec![2]));
        let stopped = Verdict::Stopped(Stop::RowExists("forecasts 42".into()));
        assert_eq!(
            verdicts(cycle),
            [(0, Verdict::Advanced), (1, stopped), (2, Verdict::Advanced)]
        );
    }

    #[test]
    fn a_missing_progress_row_stops_the_partition() {
        let mut cycle = CommitCycle::new(vec![advance(0)]);
        cycle.committed(Ok(vec![]));
        cycle.progress_read(&[]);
        assert_eq!(verdicts(cycle), [(0, Verdict::Stopped(Stop::ProgressMissing))]);
    }

    fn resting(partition: i32, committed: i64) -> Resting {
        Resting {
            fence: fence(partition, 1),
            committed,
        }
    }

    #[test]
    fn a_partition_at_rest_that_stands_where_it_believes_gets_no_verdict() {
        let mut cycle = CommitCycle::new(vec![]).and_check(vec![resting(0, 20)]);
        assert_eq!(cycle.step(), CycleStep::ReadProgress);
        cycle.progress_read(&[progress(0, 1, 20)]);
        assert_eq!(verdicts(cycle), []);
    }

    #[test]
    fn a_check_comes_after_the_commit_beside_it() {
        let mut cycle = CommitCycle::new(vec![advance(0)]).and_check(vec![resting(1, 20)]);
        assert_eq!(due(&cycle), [0]);
        cycle.committed(Ok(vec![0]));
        assert_eq!(cycle.step(), CycleStep::ReadProgress);
        cycle.progress_read(&[progress(0, 1, 20), progress(1, 1, 5)]);
        assert_eq!(verdicts(cycle), [(0, Verdict::Advanced), (1, Verdict::Restart)]);
    }

    #[test]
    fn commits_that_the_store_lost_are_noticed_at_rest() {
        let mut cycle = CommitCycle::new(vec![]).and_check(vec![resting(0, 20), resting(1, 20), resting(2, 20)]);
        cycle.progress_read(&[progress(0, 1, 5), progress(1, 2, 20)]);
        let missing = Verdict::Stopped(Stop::ProgressMissing);
        assert_eq!(
            verdicts(cycle),
            [(0, Verdict::Restart), (1, Verdict::Fenced), (2, missing)]
        );
    }
}
