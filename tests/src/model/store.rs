//! The simulated result store: the fenced commit of the real ones, and a past to fall back into.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use assay_processor::stores::{Advance, Fence, Progress, Snapshot, StoreError};

use super::defect::Defect;
use super::log::{PARTITIONS, REVISIONS, World, initial_progress};
use super::rows::{Mark, Rows};

/// Writes that a failover can lose at most.
const REMEMBERED: usize = 6;

type Place = (usize, i32);

/// Everything but the rows, at one moment.
#[derive(Debug, Clone)]
struct Moment {
    progress: BTreeMap<Place, Progress>,
    snapshots: BTreeMap<Place, [Option<Arc<Snapshot>>; 2]>,
    live: usize,
    marks: BTreeMap<Place, Mark>,
    newest: BTreeMap<Place, Fence>,
}

/// The tables.
#[derive(Debug)]
pub(super) struct SimStore {
    now: Moment,
    past: VecDeque<Moment>,
    rows: BTreeMap<Place, Rows>,
    defect: Option<Defect>,
    world: Arc<World>,
    /// Rows that a defect still owes.
    owed: Vec<Advance>,
}

impl SimStore {
    /// Tables after the registration of both revisions; the first is live.
    #[must_use]
    pub(super) fn new(world: Arc<World>, defect: Option<Defect>) -> Self {
        let places = (0..REVISIONS.len()).flat_map(|revision| (0..PARTITIONS).map(move |part| (revision, part)));
        let progress: BTreeMap<_, _> = places
            .map(|place| (place, initial_progress(place.0, place.1)))
            .collect();
        let snapshots = progress.keys().map(|place| (*place, [None, None])).collect();
        let rows = progress.keys().map(|place| (*place, Rows::default())).collect();
        let now = Moment {
            progress,
            snapshots,
            live: 0,
            marks: BTreeMap::new(),
            newest: BTreeMap::new(),
        };
        Self {
            now,
            past: VecDeque::new(),
            rows,
            defect,
            world,
            owed: Vec::new(),
        }
    }

    /// The bump.
    pub(super) fn take_over(&mut self, place: Place, nonce: i64) -> Progress {
        self.remember();
        let progress = self
            .now
            .progress
            .get_mut(&place)
            .unwrap_or_else(|| unreachable!("registered"));
        progress.fence.epoch += 1;
        progress.fence.owner_nonce = nonce;
        self.now.newest.insert(place, progress.fence.clone());
        progress.clone()
    }

    /// The rows of `progress` of a revision.
    #[must_use]
    pub(super) fn progress(&self, revision: usize) -> Vec<Progress> {
        self.now
            .progress
            .iter()
            .filter(|((found, _), _)| *found == revision)
            .map(|(_, row)| row.clone())
            .collect()
    }

    /// The commit, and what an onlooker who knows the truth objects to.
    pub(super) fn commit(
        &mut self,
        revision: usize,
        advances: &[Advance],
    ) -> (Result<Vec<i32>, StoreError>, Option<String>) {
        let moving: Vec<&Advance> = advances
            .iter()
            .filter(|advance| self.matches(revision, advance))
            .collect();
        let writing: Vec<&Advance> = if self.defect == Some(Defect::RowsOfFenced) {
            advances.iter().collect()
        } else {
            moving.clone()
        };
        if writing
            .iter()
            .any(|advance| self.rows[&(revision, advance.fence.partition)].collide(advance))
        {
            return (Err(StoreError::UniqueViolation("a simulated row".into())), None);
        }
        let objection = moving.iter().find_map(|advance| self.objection(revision, advance));
        self.remember();
        for advance in &writing {
            self.write_rows(revision, advance);
        }
        for advance in &moving {
            self.move_to(revision, advance);
        }
        (
            Ok(moving.iter().map(|advance| advance.fence.partition).collect()),
            objection,
        )
    }

    fn matches(&self, revision: usize, advance: &Advance) -> bool {
        let row = &self.now.progress[&(revision, advance.fence.partition)];
        let epoch = row.fence.epoch == advance.fence.epoch;
        let nonce = row.fence.owner_nonce == advance.fence.owner_nonce;
        let offset = row.next_offset == advance.from_offset;
        match self.defect {
            Some(Defect::FenceIgnored) => offset,
            Some(Defect::NonceIgnored) => epoch && offset,
            Some(Defect::OffsetIgnored) => epoch && nonce,
            _ => epoch && nonce && offset,
        }
    }

    /// I1 to I4 of one advance that is about to happen.
    fn objection(&self, revision: usize, advance: &Advance) -> Option<String> {
        let place = (revision, advance.fence.partition);
        if self.now.newest.get(&place) != Some(&advance.fence) {
            return Some(format!("I2: {:?} commits and is not the newest owner", advance.fence));
        }
        let truth = &self.world.truth[&place];
        let next = self.now.progress[&place].next_offset;
        if self.rows[&place].mark() != truth.marks[next as usize] {
            return Some(format!("I1: the tables of {place:?} at {next} are not the log's"));
        }
        truth.objection(advance)
    }

    fn write_rows(&mut self, revision: usize, advance: &Advance) {
        if self.defect == Some(Defect::OffsetBeforeRows) {
            self.owed.push(advance.clone());
            return;
        }
        if let Some(rows) = self.rows.get_mut(&(revision, advance.fence.partition)) {
            rows.append(advance);
        }
    }

    /// The second step of a store that writes the offset first; a crash forgets it.
    pub(super) fn write_owed(&mut self, revision: usize, crashed: bool) {
        for advance in std::mem::take(&mut self.owed) {
            if let (false, Some(rows)) = (crashed, self.rows.get_mut(&(revision, advance.fence.partition))) {
                rows.append(&advance);
            }
        }
    }

    fn move_to(&mut self, revision: usize, advance: &Advance) {
        if let Some(row) = self.now.progress.get_mut(&(revision, advance.fence.partition)) {
            row.next_offset = advance.to_offset;
            row.watermark_us = advance.watermark_us;
            row.state_digest.clone_from(&advance.state_digest);
            row.record_digest.clone_from(&advance.record_digest);
        }
    }

    /// Writes a snapshot into the slot that does not hold the newest.
    pub(super) fn save_snapshot(&mut self, revision: usize, fence: &Fence, snapshot: Snapshot) {
        let place = (revision, fence.partition);
        if self.now.progress[&place].fence != *fence {
            return;
        }
        self.remember();
        if let Some(slots) = self.now.snapshots.get_mut(&place) {
            slots.sort_by_key(|slot| slot.as_ref().map(|snapshot| snapshot.at_offset));
            slots[0] = Some(Arc::new(snapshot));
        }
    }

    /// Snapshots up to an offset, newest first.
    #[must_use]
    pub(super) fn snapshots(&self, place: Place, next_offset: i64) -> Vec<Snapshot> {
        let slots = self.now.snapshots[&place].iter().flatten();
        let mut found: Vec<Snapshot> = slots
            .filter(|snapshot| snapshot.at_offset <= next_offset)
            .map(|slot| (**slot).clone())
            .collect();
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.at_offset));
        found
    }

    /// The live revision.
    #[must_use]
    pub(super) fn live(&self) -> usize {
        self.now.live
    }

    /// Promotes the other revision.
    pub(super) fn flip(&mut self) {
        self.remember();
        self.now.live = 1 - self.now.live;
    }

    /// A standby takes over that lacks the last writes: bumps, commits, snapshots or a flip. Gives how many.
    pub(super) fn fail_over(&mut self, lost: usize) -> usize {
        let lost = lost.min(self.past.len());
        for _ in 0..lost {
            if let Some(moment) = self.past.pop_back() {
                self.now = moment;
            }
        }
        for (place, rows) in &mut self.rows {
            if lost > 0 {
                rows.truncate(self.now.marks.get(place).copied().unwrap_or_default());
            }
        }
        lost
    }

    fn remember(&mut self) {
        let mut moment = self.now.clone();
        moment.marks = self.rows.iter().map(|(place, rows)| (*place, rows.mark())).collect();
        self.past.push_back(moment);
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
    }

    /// What is missing or wrong at the end, if anything.
    #[must_use]
    pub(super) fn final_objection(&self) -> Option<String> {
        self.now.progress.iter().find_map(|(place, row)| {
            let truth = &self.world.truth[place];
            let end = self.world.records[place.1 as usize].len();
            let objection = if row.next_offset != end as i64 {
                Some(format!("stands at {} of {end}", row.next_offset))
            } else if self.rows[place] != truth.rows {
                Some("rows are not those of an undisturbed pass".to_owned())
            } else {
                (row.state_digest != truth.digests[end]).then(|| "state digest differs".to_owned())
            };
            objection.map(|objection| format!("store {place:?}: {objection}"))
        })
    }
}
