//! One operator acts at a time. A lost lease ends the process: whoever holds it now may already be writing.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Seconds after which a silent holder loses the lease, and how long before that it renews.
const LEASE_SECONDS: u64 = 15;
const GRACE_SECONDS: u64 = 5;
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
        source: Box<LeaseManagerError>,
    },
    /// Another operator holds it.
    #[error("the lease was lost; another operator acts now")]
    Lost,
}

/// The lease, held as long as this value says so.
pub struct Leadership {
    held: watch::Receiver<bool>,
    renewal: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Leadership {
    /// Waits until this operator holds the lease.
    ///
    /// # Errors
    /// Where the lease cannot be used.
    pub async fn acquire(client: Client, namespace: &str, identity: &str) -> Result<Self, LeaderError> {
        let failed = |source| LeaderError::Lease {
            namespace: namespace.to_owned(),
            source: Box::new(source),
        };
        let manager = LeaseManagerBuilder::new(client, "assay-operator")
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(LEASE_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .map_err(failed)?;
        let (mut held, renewal) = manager.watch().await;
        tracing::info!(identity, "waiting for the lease");
        held.wait_for(|held| *held).await.map_err(|_| LeaderError::Lost)?;
        tracing::info!(identity, "holding the lease");
        Ok(Self { held, renewal })
    }

    /// Comes back only when the lease is lost.
    pub async fn lost(&mut self) -> LeaderError {
        // Either way it is lost: the value turned false, or the task that renews it is gone.
        let _ = self.held.wait_for(|held| !*held).await;
        LeaderError::Lost
    }

    /// Frees the lease for the next operator, where it is still ours.
    pub async fn hand_back(self) {
        // The task that renews the lease frees it when nobody listens any more.
        drop(self.held);
        match timeout(HAND_BACK_LIMIT, self.renewal).await {
            Ok(Ok(Ok(_))) => tracing::info!("handed the lease back"),
            other => tracing::warn!(?other, "the lease was not handed back; it runs out by itself"),
        }
    }
}
