//! Statements whose text is the same in both databases.

pub(super) const REGISTRATION: &str = "\
SELECT p.cluster, p.namespace, p.name, r.settings, r.engine_semantics, r.topic_identity, r.partitions
FROM revisions r JOIN pipelines p ON p.pipeline = r.pipeline
WHERE r.pipeline = $1 AND r.revision = $2";

pub(super) const LIVE_REVISION: &str = "\
SELECT live_revision, live_generation FROM pipelines WHERE pipeline = $1 AND live_revision IS NOT NULL";

pub(super) const TAKE_OVER: &str = r#"
UPDATE progress SET epoch = epoch + 1, owner_nonce = $4
WHERE pipeline = $1 AND revision = $2 AND "partition" = $3
RETURNING "partition", epoch, owner_nonce, start_offset, live_from_offset, next_offset, watermark_us, state_digest,
    record_digest, CAST(counters AS text) AS counters"#;

pub(super) const PROGRESS: &str = r#"
SELECT "partition", epoch, owner_nonce, start_offset, live_from_offset, next_offset, watermark_us, state_digest,
    record_digest, CAST(counters AS text) AS counters
FROM progress WHERE pipeline = $1 AND revision = $2 ORDER BY "partition""#;

pub(super) const UNMIRRORED: &str = r#"
SELECT d.record_offset, d.reason, d.key, d.value, d.value_length
FROM dead_letters d
LEFT JOIN dead_letter_cursors c
    ON c.pipeline = d.pipeline AND c.revision = d.revision AND c."partition" = d."partition"
WHERE d.pipeline = $1 AND d.revision = $2 AND d."partition" = $3 AND d.record_offset >= COALESCE(c.next_offset, 0)
ORDER BY d.record_offset LIMIT $4"#;

/// Two mirrors of one partition may overlap for a moment; the one behind does not move the cursor back.
pub(super) const MIRRORED: &str = r#"
INSERT INTO dead_letter_cursors (pipeline, revision, "partition", next_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT (pipeline, revision, "partition") DO UPDATE SET next_offset = excluded.next_offset
WHERE excluded.next_offset > dead_letter_cursors.next_offset"#;

pub(super) const SNAPSHOTS: &str = r#"
SELECT at_offset, state_digest, blob FROM snapshots
WHERE pipeline = $1 AND revision = $2 AND "partition" = $3 AND at_offset <= $4
ORDER BY at_offset DESC"#;

/// The slot that does not hold the newest snapshot is overwritten, so one good snapshot always remains.
pub(super) const SAVE_SNAPSHOT: &str = r#"
INSERT INTO snapshots (pipeline, revision, "partition", slot, at_offset, state_digest, blob)
SELECT p.pipeline, p.revision, p."partition",
    COALESCE((SELECT 1 - s.slot FROM snapshots s
              WHERE s.pipeline = p.pipeline AND s.revision = p.revision AND s."partition" = p."partition"
              ORDER BY s.at_offset DESC LIMIT 1), 0),
    $6, $7, $8
FROM progress p
WHERE p.pipeline = $1 AND p.revision = $2 AND p."partition" = $3 AND p.epoch = $4 AND p.owner_nonce = $5
ON CONFLICT (pipeline, revision, "partition", slot) DO UPDATE
SET at_offset = excluded.at_offset, state_digest = excluded.state_digest, blob = excluded.blob,
    inserted_at = excluded.inserted_at"#;
