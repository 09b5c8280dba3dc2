//! The HTTP side: `/livez`, `/readyz`, `/metrics`, and `/log-level` for whoever is on this machine, as `kubectl port-forward` is.
//! A standby is ready as well: it answers, and waits for the lease.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use prometheus::{Registry, TextEncoder};

use crate::logging::LogLevel;

/// Serves until the process ends.
///
/// # Errors
/// Where the address is taken.
pub async fn serve(address: SocketAddr, registry: Registry, level: LogLevel) -> std::io::Result<()> {
    let metrics = move || {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        async move { text.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())) }
    };
    let ok = || async { "ok" };
    let router = Router::new()
        .route("/livez", get(ok))
        .route("/readyz", get(ok))
        .route("/metrics", get(metrics))
        .route("/log-level", put(set_level).with_state(level));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Only from this machine: a log at level trace is a way to slow the operator down.
async fn set_level(
    State(level): State<LogLevel>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    directives: String,
) -> (StatusCode, String) {
    if !peer.ip().is_loopback() {
        let remedy = "only from the same pod; use kubectl port-forward\n".to_owned();
        return (StatusCode::FORBIDDEN, remedy);
    }
    match level.set(&directives) {
        Ok(()) => (StatusCode::OK, "set\n".to_owned()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
