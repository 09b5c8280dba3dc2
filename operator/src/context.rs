//! What every pass shares: clients, pools, the pipelines that are known, figures of earlier passes. No decision is made here.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_crds::StrategyPipeline;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store as Reflected;
use kube::runtime::reflector::store::WriterDropped;

use crate::children::Children;
use crate::kafka::KafkaPool;
use crate::observe::Observer;
use crate::scaling::Sample;
use crate::secrets::Secrets;
use crate::store::StorePool;
use crate::written::Written;

/// What the command line decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Image of processors where a pipeline names none.
    pub processor_image: String,
    /// Label of this cluster in the result store.
    pub cluster: String,
    /// Namespace of the operator: where it writes what a deletion left behind.
    pub namespace: String,
    /// Pipelines that may move to a new engine at a time.
    pub max_concurrent_upgrades: usize,
    /// How often a pipeline that is as wanted is looked at again.
    pub resync: Duration,
    /// How long a Secret that was read is believed.
    pub secrets_age: Duration,
    /// How long a deletion tries to clean up before it lets go.
    pub cleanup_limit: Duration,
}

/// Shared by all passes.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Settings.
    pub settings: Settings,
    /// Kafka by connection.
    pub kafka: KafkaPool,
    /// Result stores by URL.
    pub stores: StorePool,
    /// Secrets read lately.
    pub secrets: Secrets,
    /// What stands as it was written.
    pub written: Written,
    /// Deployments that stand.
    pub deployments: Children<Deployment>,
    /// ConfigMaps of revisions that stand.
    pub config_maps: Children<ConfigMap>,
    /// Metrics and events.
    pub observer: Observer,
    /// Every pipeline, as the watches keep them: one store a watched namespace, or one for all.
    stores_of_pipelines: Vec<Reflected<DeserializeGuard<StrategyPipeline>>>,
    memory: Mutex<HashMap<String, Memory>>,
    /// Uids of pipelines that were let start an upgrade; the watch may not show them yet.
    upgrading: Mutex<BTreeSet<String>>,
}

/// What one pass leaves to the next of the same pipeline.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Passes in a row that failed.
    pub failures: u32,
    /// Passes in a row that waited for something.
    pub waited: u32,
    /// Sums for rates.
    pub sample: Option<Sample>,
    /// When figures were last written to status.
    pub figures_written: Option<Instant>,
    /// Revisions that stopped and whose consumer groups were deleted.
    pub stopped: BTreeSet<String>,
}

impl Context {
    /// With nothing known yet.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        pipelines: Vec<Reflected<DeserializeGuard<StrategyPipeline>>>,
        observer: Observer,
    ) -> Arc<Self> {
        Arc::new(Self {
            secrets: Secrets::new(client.clone(), settings.secrets_age),
            client,
            // Every second look at a pipeline at rest is one at its brokers.
            kafka: KafkaPool::new(settings.resync / 2, observer.kafka_calls.clone()),
            settings,
            stores: StorePool::default(),
            written: Written::default(),
            deployments: Children::new(pipelines.len()),
            config_maps: Children::new(pipelines.len()),
            observer,
            stores_of_pipelines: pipelines,
            memory: Mutex::default(),
            upgrading: Mutex::default(),
        })
    }

    /// Waits until every watch has listed its pipelines: before that, somebody's claim on a topic may be missing.
    ///
    /// # Errors
    /// Where a watch has ended.
    pub async fn listed(&self) -> Result<(), WriterDropped> {
        for store in &self.stores_of_pipelines {
            store.wait_until_ready().await?;
        }
        Ok(())
    }

    /// Waits until every watch has listed what stands of them.
    pub async fn children_listed(&self) {
        self.deployments.listed().await;
        self.config_maps.listed().await;
    }

    /// Every pipeline that is watched, also those that cannot be read.
    #[must_use]
    pub fn pipelines(&self) -> Vec<Arc<DeserializeGuard<StrategyPipeline>>> {
        self.stores_of_pipelines.iter().flat_map(Reflected::state).collect()
    }

    /// What earlier passes left.
    #[must_use]
    pub fn recall(&self, uid: &str) -> Memory {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
            .unwrap_or_default()
    }

    /// Leaves something to the next pass.
    pub fn remember(&self, uid: &str, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        change(memory.entry(uid.to_owned()).or_default());
    }

    /// Notes that a pass went well; of a pipeline that was forgotten meanwhile there is nothing to note.
    pub fn succeeded(&self, uid: &str) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = memory.get_mut(uid) {
            memory.failures = 0;
        }
    }

    /// Lets a pipeline start an upgrade where fewer than `most` others are `moving` or were let start: passes run beside each other, and
    /// none sees in the watch what another decides at the same moment.
    ///
    /// # Errors
    /// How many others there are, where those are enough.
    pub fn start_upgrade(&self, uid: &str, moving: &BTreeSet<String>, most: usize) -> Result<(), usize> {
        let mut upgrading = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner);
        let others = upgrading.union(moving).filter(|other| *other != uid).count();
        if others >= most {
            return Err(others);
        }
        upgrading.insert(uid.to_owned());
        Ok(())
    }

    /// Notes that a pipeline's own status tells of its upgrade, or that there is none, or that it is at rest.
    pub fn upgrade_is_told(&self, uid: &str) {
        self.upgrading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// Forgets a pipeline that is gone.
    pub fn forget(&self, uid: &str) {
        self.upgrade_is_told(uid);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use axum::http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;
    use crate::pipeline::validate::tests::settings;

    fn context() -> Arc<Context> {
        let silent = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        let client = Client::new(silent, "trading");
        let observer = Observer::start(client.clone(), "test").unwrap();
        Context::new(client, settings(), Vec::new(), observer)
    }

    #[tokio::test]
    async fn a_pass_that_goes_well_ends_a_row_of_failures() {
        let context = context();
        context.remember("a", |memory| memory.failures = 3);
        context.succeeded("a");
        assert_eq!(context.recall("a").failures, 0);
    }

    #[tokio::test]
    async fn a_pass_that_lets_a_pipeline_go_leaves_no_memory_of_it() {
        let context = context();
        context.remember("a", |memory| memory.failures = 3);
        context.forget("a");
        context.succeeded("a");
        assert!(context.memory.lock().unwrap().is_empty());
    }
}
