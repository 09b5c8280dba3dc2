//! The closed seconds of a symbol: one window for the VWAP, one for the volume profile and one for trade ids.
//!
//! A closed second never changes. It is hashed when it enters and when it leaves; the indicators in the head follow.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Head;
use crate::closed_seconds::{ClosedSeconds, FrameWriter, WindowBytes};
use crate::indicators::{RollingVwap, VolumeProfile, volume_profile, vwap};
use crate::rules::Rules;
use crate::slot::OpenSlot;
use crate::trade_ids::{self, TakenIds};

/// The three windows.
#[derive(Debug, Clone)]
pub(crate) struct ClosedWindows {
    vwap: ClosedSeconds,
    profile: ClosedSeconds,
    ids: ClosedSeconds,
    frame: FrameWriter,
}

/// The three windows as snapshots hold them.
#[derive(Serialize, Deserialize)]
pub(crate) struct WindowsDocument {
    vwap: WindowBytes,
    profile: WindowBytes,
    ids: WindowBytes,
}

/// Tells the hashes of equal bytes in different revisions, symbols and windows apart.
pub(crate) fn seed_of(rules: &Rules, symbol: &str, kind: u64) -> u64 {
    let revision = xxh3_64_with_seed(rules.settings.revision.as_bytes(), kind);
    xxh3_64_with_seed(symbol.as_bytes(), revision)
}

impl ClosedWindows {
    pub(crate) fn new(rules: &Rules, symbol: &str) -> Self {
        Self {
            vwap: ClosedSeconds::new(rules.vwap_window_us(), seed_of(rules, symbol, 1)),
            profile: ClosedSeconds::new(rules.profile_window_us(), seed_of(rules, symbol, 2)),
            ids: ClosedSeconds::new(rules.settings.dedupe_window_us, seed_of(rules, symbol, 3)),
            frame: FrameWriter::default(),
        }
    }

    /// Takes a slot that closes.
    pub(crate) fn push(&mut self, slot: &mut OpenSlot, head: &mut Head) {
        head.vwap.push(slot, &mut self.frame, &mut self.vwap);
        if let Some(profile) = &mut head.profile {
            profile.push(slot, &mut self.frame, &mut self.profile);
        }
        trade_ids::close(slot, &mut self.frame, &mut self.ids);
    }

    /// Forgets the ids of the seconds that leave at or before `until_us`.
    pub(crate) fn expire_ids(&mut self, until_us: i64, taken: &mut TakenIds) {
        trade_ids::expire(&mut self.ids, until_us, taken);
    }

    /// Takes the seconds that leave at or before `until_us` out of the indicators; tells when the last of them left.
    pub(crate) fn expire_indicators(&mut self, until_us: i64, head: &mut Head) -> Option<i64> {
        let vwap = head.vwap.expire(&mut self.vwap, until_us);
        let profile = head
            .profile
            .as_mut()
            .and_then(|profile| profile.expire(&mut self.profile, until_us));
        vwap.max(profile)
    }

    /// When the next second leaves any window, microseconds.
    pub(crate) fn next_expiry_us(&self) -> Option<i64> {
        let windows = [&self.vwap, &self.profile, &self.ids];
        windows.into_iter().filter_map(ClosedSeconds::next_expiry_us).min()
    }

    /// Sum of the hashes of all closed seconds.
    pub(crate) const fn digest(&self) -> u128 {
        self.vwap
            .digest()
            .wrapping_add(self.profile.digest())
            .wrapping_add(self.ids.digest())
    }

    /// The same sum recomputed from the bytes.
    pub(crate) fn digest_from_scratch(&self) -> u128 {
        let windows = [&self.vwap, &self.profile, &self.ids];
        windows
            .into_iter()
            .map(ClosedSeconds::digest_from_scratch)
            .fold(0, u128::wrapping_add)
    }

    /// Replaces the indicators of a head by the same recomputed from the windows.
    pub(crate) fn recompute(&self, head: &mut Head) {
        head.vwap = RollingVwap::from_window(&self.vwap);
        head.profile = head
            .units
            .map(|units| VolumeProfile::from_window(units.bucket, &self.profile));
    }

    pub(crate) fn to_document(&self) -> WindowsDocument {
        WindowsDocument {
            vwap: self.vwap.to_bytes(),
            profile: self.profile.to_bytes(),
            ids: self.ids.to_bytes(),
        }
    }

    /// The windows of a snapshot, and the ids in them; `None` where a frame is malformed.
    pub(crate) fn from_document(
        document: WindowsDocument,
        rules: &Rules,
        symbol: &str,
        taken: &mut TakenIds,
    ) -> Option<Self> {
        let Self {
            vwap,
            profile,
            ids,
            frame,
        } = Self::new(rules, symbol);
        Some(Self {
            vwap: vwap.restore(document.vwap, |fields| vwap::read_slot(fields).map(|_| ()))?,
            profile: profile.restore(document.profile, |fields| volume_profile::read_buckets(fields, |_| {}))?,
            ids: ids.restore(document.ids, |fields| {
                trade_ids::read_pages(fields, |page| taken.insert(page))
            })?,
            frame,
        })
    }
}
