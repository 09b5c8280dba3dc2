//! The HTTP side: `/livez`, `/readyz`, `/metrics`. A standby is ready as well: it answers, and waits for the lease.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};

/// Serves until the process ends.
///
/// # Errors
/// Where the address is taken.
pub async fn serve(address: SocketAddr, registry: Registry) -> std::io::Result<()> {
    let metrics = move || {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        async move { text.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())) }
    };
    let ok = || async { "ok" };
    let router = Router::new()
        .route("/livez", get(ok))
        .route("/readyz", get(ok))
        .route("/metrics", get(metrics));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
