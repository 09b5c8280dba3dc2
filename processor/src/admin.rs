//! The HTTP side: `/livez`, `/readyz`, `/metrics`, `/status`. Reads only, never a credential.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::ingest::lag::LagBoard;
use crate::partition::actor::PartitionReport;
use crate::partition::workers::Workers;
use crate::resilience::Breaker;
use crate::resilience::health::{HealthBoard, Level, Pulse};
use crate::telemetry::Metrics;

/// What the pages show.
pub struct Admin {
    /// Namespace and name.
    pub pipeline: String,
    /// Revision id.
    pub revision: String,
    /// Source topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// The workers.
    pub workers: Arc<Workers>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<HealthBoard>,
    /// Lag by partition.
    pub lag: Arc<LagBoard>,
    /// Of the poll thread.
    pub pulse: Arc<Pulse>,
    /// The circuit breakers by store.
    pub breakers: Vec<(&'static str, Arc<Breaker>)>,
}

/// The body of `/status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    pipeline: String,
    revision: String,
    topic: String,
    group: String,
    health: Level,
    reasons: Vec<String>,
    ready: bool,
    uptime_seconds: u64,
    partitions: Vec<PartitionStatus>,
    stopped: Vec<StoppedPartition>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionStatus {
    #[serde(flatten)]
    report: PartitionReport,
    lag_records: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StoppedPartition {
    partition: i32,
    reason: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    records: u64,
    replayed: u64,
    commits: u64,
    publishes: u64,
    republished: u64,
    snapshots: u64,
    fenced: u64,
    ambiguous: u64,
    restarts: u64,
}

/// Binds the address, so that a taken port is told before anything starts.
///
/// # Errors
/// The address cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await
}

/// Serves until it is dropped.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: tokio::net::TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin);
    axum::serve(listener, router).await
}

async fn livez(State(admin): State<Arc<Admin>>) -> Response {
    answer(
        admin.pulse.is_alive(),
        "the poll thread moves",
        "the poll thread is stuck",
    )
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    answer(
        admin.health.is_ready(),
        "ready",
        "the group or a store has not been reached yet",
    )
}

fn answer(good: bool, yes: &'static str, no: &'static str) -> Response {
    if good {
        (StatusCode::OK, yes).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, no).into_response()
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let (level, _) = admin.health.judge(Instant::now());
    admin.metrics.health.set(level as i64);
    for (store, breaker) in &admin.breakers {
        let counter = admin.metrics.breaker_trips.with_label_values(&[store]);
        counter.inc_by(breaker.counts().trips.saturating_sub(counter.get()));
    }
    match admin.metrics.render(admin.pulse.uptime()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let (health, reasons) = admin.health.judge(Instant::now());
    let partitions = admin.workers.report().await.into_iter().map(|report| PartitionStatus {
        lag_records: admin.lag.of(report.partition, report.committed),
        report,
    });
    let stopped = admin
        .health
        .stopped_partitions()
        .into_iter()
        .map(|(partition, stop)| StoppedPartition {
            partition,
            reason: stop.code(),
            message: stop.to_string(),
        });
    Json(Status {
        pipeline: admin.pipeline.clone(),
        revision: admin.revision.clone(),
        topic: admin.topic.clone(),
        group: admin.group.clone(),
        health,
        reasons,
        ready: admin.health.is_ready(),
        uptime_seconds: admin.pulse.uptime().as_secs(),
        partitions: partitions.collect(),
        stopped: stopped.collect(),
        totals: totals(&admin.metrics),
    })
    .into_response()
}

fn totals(metrics: &Metrics) -> Totals {
    Totals {
        records: metrics.records.get(),
        replayed: metrics.replayed.get(),
        commits: metrics.commits.get(),
        publishes: metrics.publishes.get(),
        republished: metrics.republished.get(),
        snapshots: metrics.snapshots.get(),
        fenced: metrics.fenced.get(),
        ambiguous: metrics.ambiguous.get(),
        restarts: metrics.restarts.get(),
    }
}
