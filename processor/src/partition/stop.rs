//! Why a partition stops for good while the others go on.

/// A reason to stop one partition; the message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The log no longer holds the records that recovery must replay.
    #[error(
        "retention passed offset {wanted}, where this revision must go on; the log starts at {log_start}; raise retention.ms or start a new instance of the revision (assay run --instance N)"
    )]
    RetentionPassed {
        /// First offset needed.
        wanted: i64,
        /// First offset left.
        log_start: i64,
    },
    /// The log ends before what is already in the tables.
    #[error(
        "the log ends at {log_end} but results reach {next_offset}: it was truncated, or the topic or the cluster is another one; start a new instance of the revision (assay run --instance N)"
    )]
    LogTruncated {
        /// Committed progress.
        next_offset: i64,
        /// End of the log.
        log_end: i64,
    },
    /// The last committed record is not where it was.
    #[error(
        "record {offset} of the committed results is missing from the log; the topic or the cluster is another one; start a new instance of the revision (assay run --instance N)"
    )]
    RecordMissing {
        /// Offset of the last committed record.
        offset: i64,
    },
    /// The last committed record has other bytes.
    #[error(
        "record {offset} is not the one the results were made from; the topic or the cluster is another one; start a new instance of the revision (assay run --instance N)"
    )]
    RecordChanged {
        /// Offset of the last committed record.
        offset: i64,
    },
    /// Replay did not arrive at the committed state.
    #[error(
        "replay to offset {next_offset} gave state {found}, the results were made with {wanted}; this is a defect or a corrupted store: keep the log and report it"
    )]
    StateDiffers {
        /// Committed progress.
        next_offset: i64,
        /// Digest in `progress`.
        wanted: String,
        /// Digest after the replay.
        found: String,
    },
    /// A record came twice or out of order (I6).
    #[error("record {found} arrived where {expected} or later was due; this is a defect: report it")]
    OffsetWentBack {
        /// Lowest legal offset.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// The store refused this partition's rows and nobody else's.
    #[error("the result store refused the rows of this partition: {0}; mend the store and restart the processor")]
    StoreRefused(String),
    /// A row that this revision writes once exists already (I7): two partitions hold trades of one symbol.
    #[error(
        "another partition has made this forecast already: {0}; trades of one symbol lie in two partitions: key every record by its symbol, let every producer use Kafka's default partitioner (murmur2), and begin on a new topic"
    )]
    RowExists(String),
    /// The row that every commit advances is gone.
    #[error("the store has no progress row for this partition; run the processor once with the whole manifest")]
    ProgressMissing,
    /// Kafka refuses to serve the partition.
    #[error("Kafka refuses the partition: {0}")]
    LogRefused(String),
}

impl Stop {
    /// The reason as a metric label and JSON value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RetentionPassed { .. } => "retention_passed",
            Self::LogTruncated { .. } => "log_truncated",
            Self::RecordMissing { .. } => "record_missing",
            Self::RecordChanged { .. } => "record_changed",
            Self::StateDiffers { .. } => "state_differs",
            Self::OffsetWentBack { .. } => "offset_went_back",
            Self::StoreRefused(_) => "store_refused",
            Self::RowExists(_) => "row_exists",
            Self::ProgressMissing => "progress_missing",
            Self::LogRefused(_) => "log_refused",
        }
    }
}
