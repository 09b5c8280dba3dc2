//! A store behind a circuit breaker: same interface, and an open circuit is one more way to be unavailable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::{Breaker, Transient};
use crate::latest::{LatestError, LatestState, Publish};
use crate::stores::{Advance, Fence, Progress, Registration, ResultStore, Snapshot, StoreError, Unmirrored};

/// A result store behind a breaker.
pub struct GuardedStore {
    store: Arc<dyn ResultStore>,
    breaker: Arc<Breaker>,
}

/// A projection behind a breaker.
pub struct GuardedLatest {
    latest: Arc<dyn LatestState>,
    breaker: Arc<Breaker>,
}

impl GuardedStore {
    /// Puts `store` behind `breaker`; metrics read the breaker.
    #[must_use]
    pub fn new(store: Arc<dyn ResultStore>, breaker: Arc<Breaker>) -> Self {
        Self { store, breaker }
    }
}

impl GuardedLatest {
    /// Puts `latest` behind `breaker`; metrics read the breaker.
    #[must_use]
    pub fn new(latest: Arc<dyn LatestState>, breaker: Arc<Breaker>) -> Self {
        Self { latest, breaker }
    }
}

/// A refusal is an answer: only what may pass by itself counts against the store.
async fn guard<T, E: Transient + From<OpenCircuit>>(
    breaker: &Breaker,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    breaker.admit(Instant::now()).map_err(OpenCircuit)?;
    let result = call.await;
    match &result {
        Err(error) if error.is_transient() => breaker.failed(Instant::now()),
        _ => breaker.succeeded(),
    }
    result
}

/// The store was not asked.
struct OpenCircuit(std::time::Duration);

impl From<OpenCircuit> for StoreError {
    fn from(OpenCircuit(wait): OpenCircuit) -> Self {
        Self::NotAsked(wait)
    }
}

impl From<OpenCircuit> for LatestError {
    fn from(OpenCircuit(wait): OpenCircuit) -> Self {
        Self::NotAsked(wait)
    }
}

#[async_trait]
impl ResultStore for GuardedStore {
    async fn register(&self, registration: &Registration, make_live: bool) -> Result<(), StoreError> {
        guard(&self.breaker, self.store.register(registration, make_live)).await
    }

    async fn registration(&self, pipeline: &str, revision: &str) -> Result<Option<Registration>, StoreError> {
        guard(&self.breaker, self.store.registration(pipeline, revision)).await
    }

    async fn live_revision(&self, pipeline: &str) -> Result<Option<(String, i64)>, StoreError> {
        guard(&self.breaker, self.store.live_revision(pipeline)).await
    }

    async fn take_over(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        nonce: i64,
    ) -> Result<Progress, StoreError> {
        guard(
            &self.breaker,
            self.store.take_over(pipeline, revision, partition, nonce),
        )
        .await
    }

    async fn progress(&self, pipeline: &str, revision: &str) -> Result<Vec<Progress>, StoreError> {
        guard(&self.breaker, self.store.progress(pipeline, revision)).await
    }

    async fn commit(&self, advances: &[Advance]) -> Result<Vec<i32>, StoreError> {
        guard(&self.breaker, self.store.commit(advances)).await
    }

    async fn save_snapshot(&self, fence: &Fence, snapshot: &Snapshot) -> Result<bool, StoreError> {
        guard(&self.breaker, self.store.save_snapshot(fence, snapshot)).await
    }

    async fn snapshots(&self, fence: &Fence, next_offset: i64) -> Result<Vec<Snapshot>, StoreError> {
        guard(&self.breaker, self.store.snapshots(fence, next_offset)).await
    }

    async fn unmirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        limit: i64,
    ) -> Result<Vec<Unmirrored>, StoreError> {
        guard(
            &self.breaker,
            self.store.unmirrored(pipeline, revision, partition, limit),
        )
        .await
    }

    async fn mirrored(
        &self,
        pipeline: &str,
        revision: &str,
        partition: i32,
        next_offset: i64,
    ) -> Result<(), StoreError> {
        guard(
            &self.breaker,
            self.store.mirrored(pipeline, revision, partition, next_offset),
        )
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        guard(&self.breaker, self.store.check()).await
    }

    async fn dump(&self, pipeline: &str, revision: &str) -> Result<String, StoreError> {
        guard(&self.breaker, self.store.dump(pipeline, revision)).await
    }
}

#[async_trait]
impl LatestState for GuardedLatest {
    async fn publish(&self, revision: &str, publishes: &[Publish]) -> Result<Vec<i32>, LatestError> {
        guard(&self.breaker, self.latest.publish(revision, publishes)).await
    }

    async fn markers(&self, revision: &str) -> Result<BTreeMap<i32, i64>, LatestError> {
        guard(&self.breaker, self.latest.markers(revision)).await
    }

    async fn live(&self) -> Result<Option<String>, LatestError> {
        guard(&self.breaker, self.latest.live()).await
    }

    async fn set_live(&self, revision: &str) -> Result<(), LatestError> {
        guard(&self.breaker, self.latest.set_live(revision)).await
    }

    async fn retire(&self, revision: &str) -> Result<(), LatestError> {
        guard(&self.breaker, self.latest.retire(revision)).await
    }

    async fn check(&self) -> Result<(), LatestError> {
        guard(&self.breaker, self.latest.check()).await
    }

    async fn dump(&self, revision: &str) -> Result<String, LatestError> {
        guard(&self.breaker, self.latest.dump(revision)).await
    }
}
