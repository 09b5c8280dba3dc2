//! The one statement that advances progress and inserts the rows that belong to it.

use assay_engine::{Fault, Forecast, Outcome};
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryScalar;

use super::super::rows::{self, Of};
use super::super::{Advance, DeadLetter, Fence};

/// Rows are locked in the order of partitions, so two processes cannot deadlock. Under READ COMMITTED the update
/// re-reads a row that changed while it waited for the lock: whoever was overtaken moves nothing and inserts nothing.
const COMMIT: &str = r#"
WITH input AS (
    SELECT * FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[],
        $10::text[], $11::text[])
    AS i("partition", epoch, owner_nonce, from_offset, to_offset, watermark_us, state_digest, record_digest, counters)
), locked AS (
    SELECT p."partition" FROM progress p JOIN input i ON i."partition" = p."partition"
    WHERE p.pipeline = $1 AND p.revision = $2
    ORDER BY p."partition"
    FOR UPDATE OF p
), advanced AS (
    UPDATE progress p
    SET next_offset = i.to_offset, watermark_us = i.watermark_us, state_digest = i.state_digest,
        record_digest = i.record_digest, counters = i.counters::json
    FROM locked l JOIN input i ON i."partition" = l."partition"
    WHERE p.pipeline = $1 AND p.revision = $2 AND p."partition" = l."partition"
        AND p.epoch = i.epoch AND p.owner_nonce = i.owner_nonce AND p.next_offset = i.from_offset
    RETURNING p."partition"
), new_forecasts AS (
    INSERT INTO forecasts (pipeline, revision, forecast_id, "partition", record_offset, phase, symbol, strategy_name,
        created_at, horizon_us, direction, probability, confidence, base_rate, overlapping, inputs)
    SELECT $1, $2, f.forecast_id, f."partition", f.record_offset, f.phase, f.symbol, f.strategy_name,
        timestamptz 'epoch' + f.created_us / 3600000000 * interval '1 hour'
            + f.created_us % 3600000000 * interval '1 microsecond',
        f.horizon_us, f.direction, f.probability, f.confidence, f.base_rate, f.overlapping, f.inputs::json
    FROM unnest($12::integer[], $13::text[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::bigint[],
        $19::bigint[], $20::text[], $21::float8[], $22::text[], $23::float8[], $24::boolean[], $25::text[])
    AS f("partition", forecast_id, record_offset, phase, symbol, strategy_name, created_us,
        horizon_us, direction, probability, confidence, base_rate, overlapping, inputs)
    JOIN advanced a ON a."partition" = f."partition"
), new_results AS (
    INSERT INTO strategy_results (pipeline, revision, forecast_id, "partition", forecast_offset, record_offset, phase,
        symbol, strategy_name, created_at, evaluated_at, horizon_us, direction, probability, confidence, base_rate,
        overlapping, outcome, void_reason, log_return)
    SELECT $1, $2, r.forecast_id, r."partition", r.forecast_offset, r.record_offset, r.phase, r.symbol, r.strategy_name,
        timestamptz 'epoch' + r.created_us / 3600000000 * interval '1 hour'
            + r.created_us % 3600000000 * interval '1 microsecond',
        timestamptz 'epoch' + r.evaluated_us / 3600000000 * interval '1 hour'
            + r.evaluated_us % 3600000000 * interval '1 microsecond',
        r.horizon_us, r.direction, r.probability, r.confidence, r.base_rate, r.overlapping, r.outcome, r.void_reason,
        r.log_return
    FROM unnest($26::integer[], $27::text[], $28::bigint[], $29::bigint[], $30::text[], $31::text[], $32::text[],
        $33::bigint[], $34::bigint[], $35::bigint[], $36::text[], $37::float8[], $38::text[], $39::float8[],
        $40::boolean[], $41::text[], $42::text[], $43::float8[])
    AS r("partition", forecast_id, forecast_offset, record_offset, phase, symbol, strategy_name,
        created_us, evaluated_us, horizon_us, direction, probability, confidence, base_rate,
        overlapping, outcome, void_reason, log_return)
    JOIN advanced a ON a."partition" = r."partition"
), new_dead_letters AS (
    INSERT INTO dead_letters (pipeline, revision, "partition", record_offset, reason, key, value, value_length, headers,
        record_time_us)
    SELECT $1, $2, d."partition", d.record_offset, d.reason, d.key, d.value, d.value_length, d.headers::json,
        d.record_time_us
    FROM unnest($44::integer[], $45::bigint[], $46::text[], $47::bytea[], $48::bytea[], $49::bigint[], $50::text[],
        $51::bigint[])
    AS d("partition", record_offset, reason, key, value, value_length, headers, record_time_us)
    JOIN advanced a ON a."partition" = d."partition"
), new_faults AS (
    INSERT INTO faults (pipeline, revision, "partition", symbol, record_offset, message)
    SELECT $1, $2, x."partition", x.symbol, x.record_offset, x.message
    FROM unnest($52::integer[], $53::text[], $54::bigint[], $55::text[])
    AS x("partition", symbol, record_offset, message)
    JOIN advanced a ON a."partition" = x."partition"
)
SELECT "partition" FROM advanced ORDER BY "partition""#;

type Statement<'q> = QueryScalar<'q, Postgres, i32, PgArguments>;

/// The statement with its arrays; gives the partitions that advanced.
pub(super) fn statement<'q>(fence: &'q Fence, advances: &'q [Advance]) -> Statement<'q> {
    let query = sqlx::query_scalar(COMMIT).bind(&fence.pipeline).bind(&fence.revision);
    let query = bind_progress(query, advances);
    let query = bind_forecasts(query, &rows::forecasts(advances));
    let query = bind_outcomes(query, &rows::outcomes(advances));
    let query = bind_dead_letters(query, &rows::dead_letters(advances));
    bind_faults(query, &rows::faults(advances))
}

fn bind_progress<'q>(query: Statement<'q>, advances: &'q [Advance]) -> Statement<'q> {
    query
        .bind(column(advances, |row| row.fence.partition))
        .bind(column(advances, |row| row.fence.epoch))
        .bind(column(advances, |row| row.fence.owner_nonce))
        .bind(column(advances, |row| row.from_offset))
        .bind(column(advances, |row| row.to_offset))
        .bind(column(advances, |row| row.watermark_us))
        .bind(column(advances, |row| row.state_digest.as_str()))
        .bind(column(advances, |row| row.record_digest.as_str()))
        .bind(column(advances, |row| rows::counters(&row.counters)))
}

fn bind_forecasts<'q>(query: Statement<'q>, all: &[Of<'q, Forecast>]) -> Statement<'q> {
    query
        .bind(column(all, |of| of.partition))
        .bind(column(all, |of| of.row.id.as_str()))
        .bind(column(all, |of| of.row.offset))
        .bind(column(all, |of| of.phase))
        .bind(column(all, |of| of.row.symbol.as_str()))
        .bind(column(all, |of| of.row.strategy.as_str()))
        .bind(column(all, |of| of.row.emitted_at_us))
        .bind(column(all, |of| of.row.horizon_us))
        .bind(column(all, |of| rows::direction(of.row)))
        .bind(column(all, |of| rows::real(of.row.probability)))
        .bind(column(all, |of| of.row.confidence))
        .bind(column(all, |of| rows::real(of.row.base_rate)))
        .bind(column(all, |of| of.row.overlapping))
        .bind(column(all, |of| of.row.inputs.as_str()))
}

fn bind_outcomes<'q>(query: Statement<'q>, all: &[Of<'q, Outcome>]) -> Statement<'q> {
    query
        .bind(column(all, |of| of.partition))
        .bind(column(all, |of| of.row.forecast.id.as_str()))
        .bind(column(all, |of| of.row.forecast.offset))
        .bind(column(all, |of| of.row.offset))
        .bind(column(all, |of| of.phase))
        .bind(column(all, |of| of.row.forecast.symbol.as_str()))
        .bind(column(all, |of| of.row.forecast.strategy.as_str()))
        .bind(column(all, |of| of.row.forecast.emitted_at_us))
        .bind(column(all, |of| of.row.evaluated_at_us))
        .bind(column(all, |of| of.row.forecast.horizon_us))
        .bind(column(all, |of| rows::direction(&of.row.forecast)))
        .bind(column(all, |of| rows::real(of.row.forecast.probability)))
        .bind(column(all, |of| of.row.forecast.confidence))
        .bind(column(all, |of| rows::real(of.row.forecast.base_rate)))
        .bind(column(all, |of| of.row.forecast.overlapping))
        .bind(column(all, |of| rows::outcome(of.row.kind)))
        .bind(column(all, |of| of.row.void_reason))
        .bind(column(all, |of| rows::real(of.row.log_return)))
}

fn bind_dead_letters<'q>(query: Statement<'q>, all: &[Of<'q, DeadLetter>]) -> Statement<'q> {
    query
        .bind(column(all, |of| of.partition))
        .bind(column(all, |of| of.row.offset))
        .bind(column(all, |of| of.row.reason))
        .bind(column(all, |of| of.row.key.as_slice()))
        .bind(column(all, |of| of.row.value.as_slice()))
        .bind(column(all, |of| of.row.value_length))
        .bind(column(all, |of| of.row.headers.as_str()))
        .bind(column(all, |of| of.row.record_time_us))
}

fn bind_faults<'q>(query: Statement<'q>, all: &[Of<'q, Fault>]) -> Statement<'q> {
    query
        .bind(column(all, |of| of.partition))
        .bind(column(all, |of| of.row.symbol.as_str()))
        .bind(column(all, |of| of.row.offset))
        .bind(column(all, |of| of.row.message.as_str()))
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
