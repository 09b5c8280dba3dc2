-- Pipelines, revisions, and each partition's progress with the rows that were committed together with it.
-- Names of time and size columns say their unit; timestamptz columns are functions of the log unless said otherwise.

CREATE TABLE pipelines (
    pipeline text PRIMARY KEY,
    cluster text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    live_revision text,
    live_generation bigint NOT NULL DEFAULT 0,
    inserted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE revisions (
    pipeline text NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    revision text NOT NULL,
    settings text NOT NULL,
    engine_semantics integer NOT NULL,
    topic_identity text NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0),
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision)
);

-- Which revision was public from when. Append-only.
CREATE TABLE promotions (
    pipeline text NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    generation bigint NOT NULL,
    revision text NOT NULL,
    promoted_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    evidence json NOT NULL,
    PRIMARY KEY (pipeline, generation)
);

-- A hot row is rewritten every commit interval: free space in its page keeps those updates HOT (no index work).
CREATE TABLE progress (
    pipeline text NOT NULL,
    revision text NOT NULL,
    "partition" integer NOT NULL,
    epoch bigint NOT NULL,
    owner_nonce bigint NOT NULL,
    start_offset bigint NOT NULL,
    live_from_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    watermark_us bigint,
    state_digest text NOT NULL,
    record_digest text NOT NULL,
    counters json NOT NULL,
    PRIMARY KEY (pipeline, revision, "partition"),
    FOREIGN KEY (pipeline, revision) REFERENCES revisions ON DELETE CASCADE,
    CHECK (next_offset >= start_offset)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE snapshots (
    pipeline text NOT NULL,
    revision text NOT NULL,
    "partition" integer NOT NULL,
    slot smallint NOT NULL CHECK (slot IN (0, 1)),
    at_offset bigint NOT NULL,
    state_digest text NOT NULL,
    blob bytea NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision, "partition", slot),
    FOREIGN KEY (pipeline, revision) REFERENCES revisions ON DELETE CASCADE
);
-- The blob is compressed already.
ALTER TABLE snapshots ALTER COLUMN blob SET STORAGE EXTERNAL;

-- Result tables carry no foreign key: the statement that fills them holds the progress row, and old revisions are dropped
-- table by table in chunks.
CREATE TABLE forecasts (
    pipeline text NOT NULL,
    revision text NOT NULL,
    forecast_id text NOT NULL,
    "partition" integer NOT NULL,
    record_offset bigint NOT NULL,
    phase text NOT NULL CHECK (phase IN ('REPLAYED', 'LIVE')),
    symbol text NOT NULL,
    strategy_name text NOT NULL,
    created_at timestamptz NOT NULL,
    horizon_us bigint NOT NULL,
    direction text NOT NULL CHECK (direction IN ('UP', 'DOWN')),
    probability double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    confidence text NOT NULL CHECK (confidence IN ('LOW', 'MEDIUM', 'HIGH')),
    base_rate double precision NOT NULL CHECK (base_rate BETWEEN 0 AND 1),
    overlapping boolean NOT NULL,
    inputs json NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision, forecast_id)
);
CREATE INDEX forecasts_by_time ON forecasts (pipeline, revision, created_at);

CREATE TABLE strategy_results (
    pipeline text NOT NULL,
    revision text NOT NULL,
    forecast_id text NOT NULL,
    "partition" integer NOT NULL,
    forecast_offset bigint NOT NULL,
    record_offset bigint NOT NULL,
    phase text NOT NULL CHECK (phase IN ('REPLAYED', 'LIVE')),
    symbol text NOT NULL,
    strategy_name text NOT NULL,
    created_at timestamptz NOT NULL,
    evaluated_at timestamptz NOT NULL,
    horizon_us bigint NOT NULL,
    direction text NOT NULL CHECK (direction IN ('UP', 'DOWN')),
    probability double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    confidence text NOT NULL CHECK (confidence IN ('LOW', 'MEDIUM', 'HIGH')),
    base_rate double precision NOT NULL CHECK (base_rate BETWEEN 0 AND 1),
    overlapping boolean NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('HIT', 'MISS', 'VOID')),
    void_reason text NOT NULL CHECK ((void_reason <> '') = (outcome = 'VOID')),
    log_return double precision NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision, forecast_id)
);
CREATE INDEX strategy_results_by_time ON strategy_results (pipeline, revision, evaluated_at);

CREATE TABLE dead_letters (
    pipeline text NOT NULL,
    revision text NOT NULL,
    "partition" integer NOT NULL,
    record_offset bigint NOT NULL,
    reason text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    value_length bigint NOT NULL,
    headers json NOT NULL,
    record_time_us bigint,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision, "partition", record_offset)
);

-- Up to where dead letters are mirrored to their topic; no row: nothing yet.
CREATE TABLE dead_letter_cursors (
    pipeline text NOT NULL,
    revision text NOT NULL,
    "partition" integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (pipeline, revision, "partition")
);

-- A symbol is left out of its partition from the first fault on, so a second row would be a defect.
CREATE TABLE faults (
    pipeline text NOT NULL,
    revision text NOT NULL,
    "partition" integer NOT NULL,
    symbol text NOT NULL,
    record_offset bigint NOT NULL,
    message text NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, revision, "partition", symbol)
);

-- Results that count: judged, and not inside the horizon of an earlier one.
CREATE VIEW counted_results AS
SELECT *,
    CASE outcome WHEN 'HIT' THEN 1.0 ELSE 0.0 END::double precision AS hit
FROM strategy_results
WHERE NOT overlapping AND outcome <> 'VOID';

-- Brier score: mean squared difference of probability and outcome (Brier 1950); skill against the base rate of the side called.
CREATE VIEW hit_rates AS
SELECT pipeline, revision, phase, symbol, strategy_name, horizon_us,
    count(*) AS outcomes,
    avg(hit) AS hit_rate,
    avg(probability) AS mean_probability,
    avg((probability - hit) ^ 2) AS brier_score,
    avg((base_rate - hit) ^ 2) AS brier_score_of_base_rate,
    1 - avg((probability - hit) ^ 2) / nullif(avg((base_rate - hit) ^ 2), 0) AS brier_skill
FROM counted_results
GROUP BY pipeline, revision, phase, symbol, strategy_name, horizon_us;

-- Twenty bins of 0.05; the last one includes 1.
CREATE VIEW calibration AS
SELECT pipeline, revision, phase, strategy_name, horizon_us,
    least(floor(probability * 20), 19)::integer AS bin,
    count(*) AS outcomes,
    avg(probability) AS mean_probability,
    avg(hit) AS hit_rate
FROM counted_results
GROUP BY pipeline, revision, phase, strategy_name, horizon_us, least(floor(probability * 20), 19)::integer;

-- Forecasts that were public when they were made. Before its first promotion a pipeline showed its first revision.
CREATE VIEW live_results AS
WITH reigns AS (
    SELECT pipeline, revision, generation,
        CASE generation WHEN 1 THEN '-infinity'::timestamptz ELSE promoted_at END AS since,
        lead(promoted_at, 1, 'infinity') OVER (PARTITION BY pipeline ORDER BY generation) AS until
    FROM promotions
)
SELECT r.*, reigns.generation
FROM strategy_results r
JOIN reigns ON reigns.pipeline = r.pipeline AND reigns.revision = r.revision
    AND r.created_at >= reigns.since AND r.created_at < reigns.until
WHERE r.phase = 'LIVE';
