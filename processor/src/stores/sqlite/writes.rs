//! The writes of one transaction on SQLite.

use assay_engine::{Fault, Forecast, Outcome};
use sqlx::{Sqlite, Transaction};

use super::super::rows::{self, Of};
use super::super::{Advance, DeadLetter, Fence, Registration};

pub(super) async fn insert_revision(
    transaction: &mut Transaction<'_, Sqlite>,
    registration: &Registration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO pipelines (pipeline, cluster, namespace, name) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&registration.pipeline)
    .bind(&registration.cluster)
    .bind(&registration.namespace)
    .bind(&registration.name)
    .execute(&mut **transaction)
    .await?;
    let inserted = sqlx::query(
        "INSERT INTO revisions (pipeline, revision, settings, engine_semantics, topic_identity, partitions)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(&registration.pipeline)
    .bind(&registration.revision)
    .bind(&registration.settings)
    .bind(registration.engine_semantics)
    .bind(&registration.topic_identity)
    .bind(registration.partitions)
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 1 {
        insert_progress(transaction, registration).await?;
    }
    Ok(())
}

async fn insert_progress(
    transaction: &mut Transaction<'_, Sqlite>,
    registration: &Registration,
) -> Result<(), sqlx::Error> {
    for offsets in &registration.offsets {
        sqlx::query(
            r#"INSERT INTO progress (pipeline, revision, "partition", epoch, owner_nonce, start_offset, live_from_offset,
                next_offset, state_digest, record_digest, counters)
            VALUES ($1, $2, $3, 0, 0, $4, $5, $4, '', '', '{}')"#,
        )
        .bind(&registration.pipeline)
        .bind(&registration.revision)
        .bind(offsets.partition)
        .bind(offsets.start_offset)
        .bind(offsets.live_from_offset)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// Makes the revision live where none is, and says so in `promotions`.
pub(super) async fn promote_first(
    transaction: &mut Transaction<'_, Sqlite>,
    registration: &Registration,
) -> Result<(), sqlx::Error> {
    let generation: Option<i64> = sqlx::query_scalar(
        "UPDATE pipelines SET live_revision = $2, live_generation = live_generation + 1
         WHERE pipeline = $1 AND live_revision IS NULL RETURNING live_generation",
    )
    .bind(&registration.pipeline)
    .bind(&registration.revision)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(generation) = generation else { return Ok(()) };
    sqlx::query(
        "INSERT INTO promotions (pipeline, generation, revision, promoted_at_us, actor, evidence)
         VALUES ($1, $2, $3, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER), 'register', '{}')",
    )
    .bind(&registration.pipeline)
    .bind(generation)
    .bind(&registration.revision)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Moves the partition if the fence holds and it stands at `from_offset`.
pub(super) async fn advance_progress(
    transaction: &mut Transaction<'_, Sqlite>,
    advance: &Advance,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query(
        r#"UPDATE progress
        SET next_offset = $7, watermark_us = $8, state_digest = $9, record_digest = $10, counters = $11
        WHERE pipeline = $1 AND revision = $2 AND "partition" = $3
            AND epoch = $4 AND owner_nonce = $5 AND next_offset = $6"#,
    )
    .bind(&advance.fence.pipeline)
    .bind(&advance.fence.revision)
    .bind(advance.fence.partition)
    .bind(advance.fence.epoch)
    .bind(advance.fence.owner_nonce)
    .bind(advance.from_offset)
    .bind(advance.to_offset)
    .bind(advance.watermark_us)
    .bind(&advance.state_digest)
    .bind(&advance.record_digest)
    .bind(rows::counters(&advance.counters))
    .execute(&mut **transaction)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Inserts every row that belongs to an advance.
pub(super) async fn insert_rows(
    transaction: &mut Transaction<'_, Sqlite>,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    let advances = std::slice::from_ref(advance);
    for row in rows::forecasts(advances) {
        insert_forecast(transaction, &advance.fence, &row).await?;
    }
    for row in rows::outcomes(advances) {
        insert_outcome(transaction, &advance.fence, &row).await?;
    }
    for row in rows::dead_letters(advances) {
        insert_dead_letter(transaction, &advance.fence, &row).await?;
    }
    for row in rows::faults(advances) {
        insert_fault(transaction, &advance.fence, &row).await?;
    }
    Ok(())
}

async fn insert_forecast(
    transaction: &mut Transaction<'_, Sqlite>,
    fence: &Fence,
    of: &Of<'_, Forecast>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO forecasts (pipeline, revision, forecast_id, "partition", record_offset, phase, symbol,
            strategy_name, created_at_us, horizon_us, direction, probability, confidence, base_rate, overlapping, inputs)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"#,
    )
    .bind(&fence.pipeline)
    .bind(&fence.revision)
    .bind(&of.row.id)
    .bind(of.partition)
    .bind(of.row.offset)
    .bind(of.phase)
    .bind(&of.row.symbol)
    .bind(&of.row.strategy)
    .bind(of.row.emitted_at_us)
    .bind(of.row.horizon_us)
    .bind(rows::direction(of.row))
    .bind(rows::real(of.row.probability))
    .bind(of.row.confidence)
    .bind(rows::real(of.row.base_rate))
    .bind(of.row.overlapping)
    .bind(&of.row.inputs)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_outcome(
    transaction: &mut Transaction<'_, Sqlite>,
    fence: &Fence,
    of: &Of<'_, Outcome>,
) -> Result<(), sqlx::Error> {
    let forecast = &of.row.forecast;
    sqlx::query(
        r#"INSERT INTO strategy_results (pipeline, revision, forecast_id, "partition", forecast_offset, record_offset,
            phase, symbol, strategy_name, created_at_us, evaluated_at_us, horizon_us, direction, probability, confidence,
            base_rate, overlapping, outcome, void_reason, log_return)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"#,
    )
    .bind(&fence.pipeline)
    .bind(&fence.revision)
    .bind(&forecast.id)
    .bind(of.partition)
    .bind(forecast.offset)
    .bind(of.row.offset)
    .bind(of.phase)
    .bind(&forecast.symbol)
    .bind(&forecast.strategy)
    .bind(forecast.emitted_at_us)
    .bind(of.row.evaluated_at_us)
    .bind(forecast.horizon_us)
    .bind(rows::direction(forecast))
    .bind(rows::real(forecast.probability))
    .bind(forecast.confidence)
    .bind(rows::real(forecast.base_rate))
    .bind(forecast.overlapping)
    .bind(rows::outcome(of.row.kind))
    .bind(of.row.void_reason)
    .bind(rows::real(of.row.log_return))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_dead_letter(
    transaction: &mut Transaction<'_, Sqlite>,
    fence: &Fence,
    of: &Of<'_, DeadLetter>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO dead_letters (pipeline, revision, "partition", record_offset, reason, key, value, value_length,
            headers, record_time_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
    )
    .bind(&fence.pipeline)
    .bind(&fence.revision)
    .bind(of.partition)
    .bind(of.row.offset)
    .bind(of.row.reason)
    .bind(&of.row.key)
    .bind(&of.row.value)
    .bind(of.row.value_length)
    .bind(&of.row.headers)
    .bind(of.row.record_time_us)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_fault(
    transaction: &mut Transaction<'_, Sqlite>,
    fence: &Fence,
    of: &Of<'_, Fault>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO faults (pipeline, revision, "partition", symbol, record_offset, message)
        VALUES ($1, $2, $3, $4, $5, $6)"#,
    )
    .bind(&fence.pipeline)
    .bind(&fence.revision)
    .bind(of.partition)
    .bind(&of.row.symbol)
    .bind(of.row.offset)
    .bind(&of.row.message)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
