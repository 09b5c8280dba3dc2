-- The same tables as in Postgres. Times are integers in microseconds since 1970 UTC; text columns for people are derived.

CREATE TABLE pipelines (
    pipeline TEXT PRIMARY KEY,
    cluster TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    live_revision TEXT,
    live_generation INTEGER NOT NULL DEFAULT 0,
    inserted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

CREATE TABLE revisions (
    pipeline TEXT NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    revision TEXT NOT NULL,
    settings TEXT NOT NULL,
    engine_semantics INTEGER NOT NULL,
    topic_identity TEXT NOT NULL,
    partitions INTEGER NOT NULL CHECK (partitions > 0),
    inserted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (pipeline, revision)
) STRICT, WITHOUT ROWID;

-- Which revision was public from when. Append-only.
CREATE TABLE promotions (
    pipeline TEXT NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    revision TEXT NOT NULL,
    promoted_at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (pipeline, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner_nonce INTEGER NOT NULL,
    start_offset INTEGER NOT NULL,
    live_from_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    watermark_us INTEGER,
    state_digest TEXT NOT NULL,
    record_digest TEXT NOT NULL,
    counters TEXT NOT NULL,
    PRIMARY KEY (pipeline, revision, "partition"),
    FOREIGN KEY (pipeline, revision) REFERENCES revisions ON DELETE CASCADE,
    CHECK (next_offset >= start_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    slot INTEGER NOT NULL CHECK (slot IN (0, 1)),
    at_offset INTEGER NOT NULL,
    state_digest TEXT NOT NULL,
    blob BLOB NOT NULL,
    inserted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (pipeline, revision, "partition", slot),
    FOREIGN KEY (pipeline, revision) REFERENCES revisions ON DELETE CASCADE
) STRICT;

CREATE TABLE forecasts (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    forecast_id TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('REPLAYED', 'LIVE')),
    symbol TEXT NOT NULL,
    strategy_name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    horizon_us INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('UP', 'DOWN')),
    probability REAL NOT NULL CHECK (probability BETWEEN 0 AND 1),
    confidence TEXT NOT NULL CHECK (confidence IN ('LOW', 'MEDIUM', 'HIGH')),
    base_rate REAL NOT NULL CHECK (base_rate BETWEEN 0 AND 1),
    overlapping INTEGER NOT NULL CHECK (overlapping IN (0, 1)),
    inputs TEXT NOT NULL,
    created_at TEXT AS (strftime('%Y-%m-%d %H:%M:%S', created_at_us / 1000000, 'unixepoch')
        || printf('.%06d+00', created_at_us % 1000000)) VIRTUAL,
    PRIMARY KEY (pipeline, revision, forecast_id)
) STRICT;

CREATE TABLE strategy_results (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    forecast_id TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    forecast_offset INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('REPLAYED', 'LIVE')),
    symbol TEXT NOT NULL,
    strategy_name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    evaluated_at_us INTEGER NOT NULL,
    horizon_us INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('UP', 'DOWN')),
    probability REAL NOT NULL CHECK (probability BETWEEN 0 AND 1),
    confidence TEXT NOT NULL CHECK (confidence IN ('LOW', 'MEDIUM', 'HIGH')),
    base_rate REAL NOT NULL CHECK (base_rate BETWEEN 0 AND 1),
    overlapping INTEGER NOT NULL CHECK (overlapping IN (0, 1)),
    outcome TEXT NOT NULL CHECK (outcome IN ('HIT', 'MISS', 'VOID')),
    void_reason TEXT NOT NULL CHECK ((void_reason <> '') = (outcome = 'VOID')),
    log_return REAL NOT NULL,
    created_at TEXT AS (strftime('%Y-%m-%d %H:%M:%S', created_at_us / 1000000, 'unixepoch')
        || printf('.%06d+00', created_at_us % 1000000)) VIRTUAL,
    evaluated_at TEXT AS (strftime('%Y-%m-%d %H:%M:%S', evaluated_at_us / 1000000, 'unixepoch')
        || printf('.%06d+00', evaluated_at_us % 1000000)) VIRTUAL,
    PRIMARY KEY (pipeline, revision, forecast_id)
) STRICT;

CREATE TABLE dead_letters (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    value_length INTEGER NOT NULL,
    headers TEXT NOT NULL,
    record_time_us INTEGER,
    PRIMARY KEY (pipeline, revision, "partition", record_offset)
) STRICT;

-- Up to where dead letters are mirrored to their topic; no row: nothing yet.
CREATE TABLE dead_letter_cursors (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (pipeline, revision, "partition")
) STRICT;

-- A symbol is left out of its partition from the first fault on, so a second row would be a defect.
CREATE TABLE faults (
    pipeline TEXT NOT NULL,
    revision TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    record_offset INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (pipeline, revision, "partition", symbol)
) STRICT;

-- Results that count: judged, and not inside the horizon of an earlier one.
CREATE VIEW counted_results AS
SELECT *, CASE outcome WHEN 'HIT' THEN 1.0 ELSE 0.0 END AS hit
FROM strategy_results
WHERE NOT overlapping AND outcome <> 'VOID';

-- Brier score: mean squared difference of probability and outcome (Brier 1950); skill against the base rate of the side called.
CREATE VIEW hit_rates AS
SELECT pipeline, revision, phase, symbol, strategy_name, horizon_us,
    count(*) AS outcomes,
    avg(hit) AS hit_rate,
    avg(probability) AS mean_probability,
    avg((probability - hit) * (probability - hit)) AS brier_score,
    avg((base_rate - hit) * (base_rate - hit)) AS brier_score_of_base_rate,
    1 - avg((probability - hit) * (probability - hit)) / nullif(avg((base_rate - hit) * (base_rate - hit)), 0) AS brier_skill
FROM counted_results
GROUP BY pipeline, revision, phase, symbol, strategy_name, horizon_us;

-- Twenty bins of 0.05; the last one includes 1.
CREATE VIEW calibration AS
SELECT pipeline, revision, phase, strategy_name, horizon_us,
    min(CAST(probability * 20 AS INTEGER), 19) AS bin,
    count(*) AS outcomes,
    avg(probability) AS mean_probability,
    avg(hit) AS hit_rate
FROM counted_results
GROUP BY pipeline, revision, phase, strategy_name, horizon_us, min(CAST(probability * 20 AS INTEGER), 19);

-- Forecasts that were public when they were made. Before its first promotion a pipeline showed its first revision.
CREATE VIEW live_results AS
WITH reigns AS (
    SELECT pipeline, revision, generation,
        CASE generation WHEN 1 THEN -9223372036854775808 ELSE promoted_at_us END AS since,
        lead(promoted_at_us, 1, 9223372036854775807) OVER (PARTITION BY pipeline ORDER BY generation) AS until
    FROM promotions
)
SELECT r.*, reigns.generation
FROM strategy_results r
JOIN reigns ON reigns.pipeline = r.pipeline AND reigns.revision = r.revision
    AND r.created_at_us >= reigns.since AND r.created_at_us < reigns.until
WHERE r.phase = 'LIVE';
