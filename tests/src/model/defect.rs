//! Defects put in on purpose: a model that cannot fail shows nothing.

/// One thing done wrongly, by the store, the projection or the driver of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// The commit checks neither epoch nor nonce.
    FenceIgnored,
    /// The commit checks the epoch but not the nonce.
    NonceIgnored,
    /// The commit does not compare `from_offset`.
    OffsetIgnored,
    /// The offset is written first, the rows in a second step that may never come.
    OffsetBeforeRows,
    /// Rows of partitions that were fenced are inserted with those that advanced.
    RowsOfFenced,
    /// A lost reply counts as done.
    LostReplyTrusted,
    /// Partitions at rest are not compared with the store.
    RestUnchecked,
    /// A recovered partition reads on from `next_offset` instead of its resume offset.
    ReplaySkipped,
    /// A fenced owner that is still assigned never takes over again.
    FencedForGood,
    /// The projection takes values of any version.
    OldVersionsTaken,
    /// The projection takes a marker although what lies before it is missing.
    MarkerUnconditional,
    /// Markers are never compared.
    MarkersUnchecked,
    /// The live key is set once and not kept equal to the store.
    LiveKeySetOnce,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::FenceIgnored,
        Self::NonceIgnored,
        Self::OffsetIgnored,
        Self::OffsetBeforeRows,
        Self::RowsOfFenced,
        Self::LostReplyTrusted,
        Self::RestUnchecked,
        Self::ReplaySkipped,
        Self::FencedForGood,
        Self::OldVersionsTaken,
        Self::MarkerUnconditional,
        Self::MarkersUnchecked,
        Self::LiveKeySetOnce,
    ];
}
