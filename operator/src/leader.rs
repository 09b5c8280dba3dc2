//! One operator acts at a time: the one that holds the lease, and only as long as its own clock says that it does. A holder that could not
//! renew the lease in time sends nothing any more and ends, whether the API server is away, the process was frozen, or another one holds
//! it now. Clocks of others are not believed: a lease is free when nobody renewed it while we looked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::BoxError;
use tower::filter::{FilterLayer, Predicate};

const NAME: &str = "assay-operator";
/// Others take a lease that was not renewed for so long.
const LEASE: Duration = Duration::from_secs(15);
/// A holder acts for so long after it began its last renewal: less than the lease, so that what it sent last has arrived before another acts.
const HELD: Duration = Duration::from_secs(12);
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// Between looks at somebody else's lease, and between tries to renew one's own.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long handing the lease back may take; it runs out by itself anyway.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(3);

/// Why this operator may not act.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The lease could not be made or read.
    #[error(
        "the lease assay-operator in namespace {namespace} cannot be used: {source}; check the operator's role there"
    )]
    Lease {
        /// Namespace.
        namespace: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// It was not renewed in time, or somebody else wrote it.
    #[error("the lease was lost; another operator acts now, or this one when it is started again")]
    Lost,
}

/// The lease, held as long as its fence says so.
pub struct Leadership {
    claim: Claim,
    /// As last written; a write to another version is refused.
    lease: Lease,
    fence: Fence,
}

/// Where the lease is, and who we are.
struct Claim {
    leases: Api<Lease>,
    identity: String,
}

impl Leadership {
    /// Waits until this operator holds the lease.
    ///
    /// # Errors
    /// Where the API server refuses.
    pub async fn acquire(client: Client, namespace: &str, identity: &str) -> Result<Self, LeaderError> {
        let claim = Claim {
            leases: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
        };
        tracing::info!(identity, "waiting for the lease");
        let mut seen = Seen::default();
        loop {
            let began = Instant::now();
            match claim.try_to_take(&mut seen).await {
                Ok(Some(lease)) => {
                    tracing::info!(identity, "holding the lease");
                    let fence = Fence::until(began + HELD);
                    return Ok(Self { claim, lease, fence });
                }
                Ok(None) => {}
                Err(error) if is_refusal(&error) => {
                    let (namespace, source) = (namespace.to_owned(), Box::new(error));
                    return Err(LeaderError::Lease { namespace, source });
                }
                Err(error) => tracing::warn!(%error, "the lease cannot be read; trying again"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Makes a client send nothing any more once the lease is lost.
    #[must_use]
    pub fn fence(&self) -> FilterLayer<Fence> {
        FilterLayer::new(self.fence.clone())
    }

    /// Renews the lease; comes back only when it is lost.
    pub async fn lost(&mut self) -> LeaderError {
        let mut pause = RENEW_EVERY;
        while let Some(left) = self.fence.left() {
            sleep(pause.min(left)).await;
            // A process that was frozen goes on here, long after.
            let Some(left) = self.fence.left() else { break };
            let began = Instant::now();
            let renewal = json!({"renewTime": now()});
            match timeout(left, self.claim.write(&self.lease, renewal)).await {
                Ok(Ok(Some(lease))) => {
                    self.lease = lease;
                    self.fence.move_to(began + HELD);
                    pause = RENEW_EVERY;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease was not renewed; trying again");
                    pause = LOOK_EVERY;
                }
                Ok(Ok(None)) | Err(_) => self.fence.move_to(began),
            }
        }
        LeaderError::Lost
    }

    /// Frees the lease for the next operator, where it is still ours.
    pub async fn hand_back(self) {
        if self.fence.left().is_none() {
            return;
        }
        let nobody = json!({"holderIdentity": null});
        match timeout(HAND_BACK_LIMIT, self.claim.write(&self.lease, nobody)).await {
            Ok(Ok(Some(_))) => tracing::info!("handed the lease back"),
            other => tracing::warn!(?other, "the lease was not handed back; it runs out by itself"),
        }
    }
}

impl Claim {
    /// Takes the lease where nobody holds it; `None` where somebody does, or was faster.
    async fn try_to_take(&self, seen: &mut Seen) -> Result<Option<Lease>, kube::Error> {
        let Some(lease) = self.leases.get_opt(NAME).await? else {
            return self.create().await;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let is_ours = spec.holder_identity.as_ref() == Some(&self.identity);
        if spec.holder_identity.is_some() && !is_ours && !seen.is_abandoned(&lease) {
            return Ok(None);
        }
        let transitions = spec.lease_transitions.unwrap_or(0).saturating_add(1);
        self.write(&lease, json!(self.held(transitions))).await
    }

    async fn create(&self) -> Result<Option<Lease>, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(self.held(0)),
        };
        unless_changed(self.leases.create(&PostParams::default(), &lease).await)
    }

    fn held(&self, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: Some(now()),
            renew_time: Some(now()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// Changes the lease where it stands as given; `None` where it does not.
    async fn write(&self, lease: &Lease, spec: Value) -> Result<Option<Lease>, kube::Error> {
        let patch = json!({"metadata": {"resourceVersion": lease.resource_version()}, "spec": spec});
        let params = PatchParams::default();
        unless_changed(self.leases.patch(NAME, &params, &Patch::Merge(patch)).await)
    }
}

fn now() -> MicroTime {
    MicroTime(k8s_openapi::jiff::Timestamp::now())
}

/// `None` where another version is there already, or nothing any more.
fn unless_changed(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether asking again will not help; an API server that has too much to do says 429 and more.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 429)
}

/// The version of somebody else's lease, and since when it stands.
#[derive(Default)]
struct Seen(Option<(String, Instant)>);

impl Seen {
    /// Whether nobody wrote the lease for as long as it is given, as far as we saw.
    fn is_abandoned(&mut self, lease: &Lease) -> bool {
        let version = lease.resource_version().unwrap_or_default();
        match &self.0 {
            Some((seen, since)) if *seen == version => since.elapsed() >= duration(lease),
            _ => {
                self.0 = Some((version, Instant::now()));
                false
            }
        }
    }
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    seconds.map_or(LEASE, |seconds| Duration::from_secs(seconds.unsigned_abs().into()))
}

/// Lets requests pass until a moment of this process's own clock.
#[derive(Clone)]
pub struct Fence(Arc<Mutex<Instant>>);

impl Fence {
    fn until(end: Instant) -> Self {
        Self(Arc::new(Mutex::new(end)))
    }

    fn move_to(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// Time until it closes; `None` where it is closed.
    fn left(&self) -> Option<Duration> {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }
}

impl<R> Predicate<R> for Fence {
    type Request = R;

    fn check(&mut self, request: R) -> Result<R, BoxError> {
        match self.left() {
            Some(_) => Ok(request),
            None => Err(LeaderError::Lost.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, seconds: i32) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                lease_duration_seconds: Some(seconds),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn requests_pass_until_the_lease_is_over_by_our_own_clock() {
        let mut fence = Fence::until(Instant::now() + LEASE);
        assert!(fence.check("request").is_ok());
        fence.move_to(Instant::now());
        assert!(fence.check("request").is_err());
    }

    #[test]
    fn a_lease_is_abandoned_when_it_stands_unchanged_for_its_duration() {
        let mut seen = Seen::default();
        assert!(!seen.is_abandoned(&lease("1", 0)), "seen for the first time");
        assert!(seen.is_abandoned(&lease("1", 0)));
        assert!(!seen.is_abandoned(&lease("2", 0)), "renewed meanwhile");
        assert!(!seen.is_abandoned(&lease("2", 15)));
    }
}
