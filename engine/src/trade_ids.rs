//! Which trade ids of a symbol were taken within the dedupe window.
//!
//! Ids of a venue mostly count up, so they are kept as pages of 64 bits: one bit an id where they are dense. Which ids
//! are remembered is exact: an id is forgotten when the watermark reaches the end of its second + the window.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::closed_seconds::{ClosedSeconds, FrameReader, FrameWriter};
use crate::fold_hash::FoldState;
use crate::slot::OpenSlot;

/// Ids per page.
const PAGE_BITS: u32 = 6;
/// Venues that one symbol can have in a partition: the page key has this much room beside the page number.
pub(crate) const MAX_VENUES: usize = 1 << PAGE_BITS;

/// Up to 64 ids of one venue: those whose bit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct IdPage {
    /// Venue number in the upper 6 bits, id / 64 in the lower 58.
    key: u64,
    bits: u64,
}

impl IdPage {
    /// The page that holds one id alone.
    pub(crate) const fn of(venue: u8, trade_id: u64) -> Self {
        Self {
            key: ((venue as u64) << (u64::BITS - PAGE_BITS)) | (trade_id >> PAGE_BITS),
            bits: 1 << (trade_id & ((1 << PAGE_BITS) - 1)),
        }
    }
}

/// All pages with at least one bit set. The page used last lies outside the map: most trades need only that one.
#[derive(Debug, Clone, Default)]
pub(crate) struct TakenIds {
    recent: Option<IdPage>,
    pages: HashMap<u64, u64, FoldState>,
}

impl TakenIds {
    /// Whether the id of a single-id page was taken.
    pub(crate) fn contains(&mut self, id: IdPage) -> bool {
        self.page(id.key) & id.bits != 0
    }

    /// Takes the ids of a page.
    pub(crate) fn insert(&mut self, page: IdPage) {
        let bits = self.page(page.key) | page.bits;
        self.recent = Some(IdPage { bits, ..page });
    }

    /// Forgets the ids of a page.
    fn remove(&mut self, page: IdPage) {
        let bits = self.page(page.key) & !page.bits;
        self.recent = (bits != 0).then_some(IdPage { bits, ..page });
    }

    /// Makes a page the recent one and gives its bits.
    fn page(&mut self, key: u64) -> u64 {
        match self.recent {
            Some(recent) if recent.key == key => recent.bits,
            _ => self.swap_in(key),
        }
    }

    #[cold]
    fn swap_in(&mut self, key: u64) -> u64 {
        if let Some(old) = self.recent.take() {
            self.pages.insert(old.key, old.bits);
        }
        let bits = self.pages.remove(&key).unwrap_or(0);
        self.recent = (bits != 0).then_some(IdPage { key, bits });
        bits
    }
}

/// Takes note of an id in the slot that took it.
pub(crate) fn note(ids: &mut Vec<IdPage>, id: IdPage) {
    match ids.last_mut() {
        Some(last) if last.key == id.key => last.bits |= id.bits,
        _ => ids.push(id),
    }
}

/// Moves the ids of a slot that closes into the window of closed seconds, in canonical order.
pub(crate) fn close(slot: &mut OpenSlot, frame: &mut FrameWriter, window: &mut ClosedSeconds) {
    slot.ids.sort_unstable();
    slot.ids.dedup_by(|page, kept| {
        let same = page.key == kept.key;
        if same {
            kept.bits |= page.bits;
        }
        same
    });
    frame.begin(slot.second);
    let mut previous = 0;
    for page in &slot.ids {
        frame.put(u128::from(page.key - previous));
        frame.put(u128::from(page.bits));
        previous = page.key;
    }
    window.push(frame);
}

/// Forgets the ids of the seconds that leave the window at or before `now_us`.
pub(crate) fn expire(window: &mut ClosedSeconds, now_us: i64, taken: &mut TakenIds) {
    window.expire(now_us, |fields| {
        read_pages(fields, |page| taken.remove(page));
    });
}

/// Calls `visit` with every page of a frame; `None` where the frame is malformed.
pub(crate) fn read_pages(fields: &mut FrameReader<'_>, mut visit: impl FnMut(IdPage)) -> Option<()> {
    let mut key = 0_u64;
    while !fields.is_empty() {
        key = key.checked_add(fields.take_u64()?)?;
        visit(IdPage {
            key,
            bits: fields.take_u64()?,
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::watermark::MICROS_PER_SECOND;

    #[test]
    fn the_same_id_of_another_venue_is_another_id() {
        let mut taken = TakenIds::default();
        taken.insert(IdPage::of(0, 77));
        assert!(taken.contains(IdPage::of(0, 77)));
        assert!(!taken.contains(IdPage::of(1, 77)));
        assert!(!taken.contains(IdPage::of(0, 78)));
    }

    #[test]
    fn an_id_is_forgotten_with_its_second() {
        let (mut window, mut frame) = (ClosedSeconds::new(10 * MICROS_PER_SECOND, 0), FrameWriter::default());
        let mut taken = TakenIds::default();
        let mut slot = OpenSlot::default();
        slot.reset(3);
        for id in [900, 5, 6, 901, 7] {
            let page = IdPage::of(2, id);
            taken.insert(page);
            note(&mut slot.ids, page);
        }
        close(&mut slot, &mut frame, &mut window);
        assert_eq!(slot.ids.len(), 2, "ids of one page are one entry");
        expire(&mut window, 14 * MICROS_PER_SECOND - 1, &mut taken);
        assert!(taken.contains(IdPage::of(2, 6)));
        expire(&mut window, 14 * MICROS_PER_SECOND, &mut taken);
        assert!([5, 6, 7, 900, 901].iter().all(|id| !taken.contains(IdPage::of(2, *id))));
        assert!(taken.recent.is_none() && taken.pages.is_empty(), "no empty page stays");
    }

    proptest! {
        #[test]
        fn pages_remember_what_a_set_remembers(steps in prop::collection::vec((any::<bool>(), 0..3_u8, 0..300_u64), 0..200)) {
            let (mut taken, mut set) = (TakenIds::default(), BTreeSet::new());
            for (insert, venue, id) in steps {
                let page = IdPage::of(venue, id * 7);
                prop_assert_eq!(taken.contains(page), set.contains(&(venue, id)));
                if insert {
                    taken.insert(page);
                    set.insert((venue, id));
                } else {
                    taken.remove(page);
                    set.remove(&(venue, id));
                }
            }
        }
    }
}
