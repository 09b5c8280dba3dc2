//! A namespace with an operator of its own, against a real API server, a real Kafka and a real Postgres. Nodes are missing: pods stay
//! Pending, and what a processor would write is written by the tests, or by processors that they start by hand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use assay_crds::{RevisionInstance, StrategyPipeline};
use assay_processor::stores::{PostgresOptions, PostgresStore, Registration, ResultStore, StartOffsets};
use assay_tests::kubernetes::Kubernetes;
use assay_tests::once::Once;
use assay_tests::scratch::unique;
use assay_tests::{Database, Kafka, Postgres};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::installation::{Installation, Operator, Rights};

pub const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub struct Lab {
    pub kubernetes: &'static Kubernetes,
    pub database: Database,
    pub namespace: String,
    pub client: Client,
    pub runtime: Runtime,
    pub bootstrap: String,
    /// Before the installation, whose folder holds its log.
    pub operator: Option<Operator>,
    pub installation: Installation,
}

impl Lab {
    /// With the Kafka that all tests share.
    pub fn start() -> Result<Self> {
        Self::with_brokers(Kafka::shared()?.bootstrap())
    }

    pub fn with_brokers(bootstrap: String) -> Result<Self> {
        let mut lab = Self::without_operator(bootstrap, Rights::Namespace)?;
        lab.start_operator()?;
        Ok(lab)
    }

    pub fn without_operator(bootstrap: String, rights: Rights) -> Result<Self> {
        let kubernetes = Kubernetes::shared()?;
        install_crd(kubernetes)?;
        let database = Postgres::shared()?.create_database()?;
        let runtime = Runtime::new()?;
        runtime.block_on(PostgresStore::migrate(&PostgresOptions::new(database.url(), "assay")))?;
        let client = runtime.block_on(client(kubernetes))?;
        let namespace = unique("trading");
        let lab = Self {
            installation: Installation::new(kubernetes, &namespace, rights)?,
            kubernetes,
            database,
            namespace,
            client,
            runtime,
            bootstrap,
            operator: None,
        };
        lab.put_secret("results", &lab.database.url())?;
        lab.put_secret("latest", "redis://127.0.0.1:1/")?;
        Ok(lab)
    }

    pub fn put_secret(&self, name: &str, url: &str) -> Result<()> {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url}});
        let api: Api<Secret> = self.api();
        self.runtime
            .block_on(api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)))?;
        Ok(())
    }

    pub fn start_operator(&mut self) -> Result<()> {
        self.operator = Some(self.installation.start(|_| ())?);
        Ok(())
    }

    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("an operator is running")
    }

    /// Ends the operator as a power cut would; its lease is taken away so that the next one need not wait for it to run out.
    pub fn kill_operator(&mut self) -> Result<()> {
        self.operator.take().context("an operator is running")?.kill();
        self.free_lease()
    }

    pub fn free_lease(&self) -> Result<()> {
        let own = &self.installation.own_namespace;
        self.kubernetes
            .kubectl(&["-n", own, "delete", "lease", "assay-operator", "--ignore-not-found"])?;
        Ok(())
    }

    /// Runs a command of the operator's program as an administrator; gives what it printed.
    pub fn assay(&self, arguments: &[&str]) -> Result<String> {
        self.assay_without_namespace(&[arguments, &["--namespace", &self.namespace]].concat())
    }

    pub fn assay_without_namespace(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.installation.command(arguments)?;
        command.env("KUBECONFIG", self.kubernetes.kubeconfig());
        let output = command.output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {message}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `kubectl` in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubernetes.kubectl(&[&["-n", &self.namespace], arguments].concat())
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A small manifest on a topic of its own.
    pub fn manifest(&self, name: &str, topic: &str) -> Value {
        json!({
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "StrategyPipeline",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "kafka": {"bootstrapServers": self.bootstrap},
                "source": {"topic": topic, "partitions": 3, "replicationFactor": 1, "config": {"retention.ms": "864000000"}},
                "settings": {"strategies": [{"name": "vwap-reversion", "type": "VwapReversion"}]},
                "results": {
                    "postgres": {"secret": {"name": "results", "key": "url"}},
                    "redis": {"secret": {"name": "latest", "key": "url"}},
                },
            },
        })
    }

    pub fn apply(&self, manifest: &Value) -> Result<StrategyPipeline> {
        let name = manifest["metadata"]["name"].as_str().context("a name")?;
        let api: Api<StrategyPipeline> = self.api();
        Ok(self
            .runtime
            .block_on(api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(manifest)))?)
    }

    pub fn patch(&self, name: &str, patch: &Value) -> Result<()> {
        let api: Api<StrategyPipeline> = self.api();
        self.runtime
            .block_on(api.patch(name, &PatchParams::default(), &Patch::Merge(patch)))?;
        Ok(())
    }

    pub fn get(&self, name: &str) -> Result<StrategyPipeline> {
        Ok(self.runtime.block_on(self.api().get(name))?)
    }

    pub fn delete(&self, name: &str) -> Result<()> {
        let api: Api<StrategyPipeline> = self.api();
        self.runtime.block_on(api.delete(name, &DeleteParams::default()))?;
        Ok(())
    }

    pub fn is_gone(&self, name: &str) -> Result<bool> {
        let api: Api<StrategyPipeline> = self.api();
        Ok(self.runtime.block_on(api.get_opt(name))?.is_none())
    }

    pub fn deployments(&self) -> Result<Vec<Deployment>> {
        let api: Api<Deployment> = self.api();
        Ok(self.runtime.block_on(api.list(&ListParams::default()))?.items)
    }

    pub fn config_maps(&self) -> Result<Vec<ConfigMap>> {
        let api: Api<ConfigMap> = self.api();
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=assay-operator");
        Ok(self.runtime.block_on(api.list(&ours))?.items)
    }

    /// Replicas that a revision's Deployment asks for; `None` where there is none.
    pub fn replicas(&self, revision: &str) -> Result<Option<i32>> {
        let suffix = format!("-{revision}");
        let deployments = self.deployments()?;
        let ours = deployments
            .iter()
            .find(|d| d.metadata.name.as_deref().is_some_and(|name| name.ends_with(&suffix)));
        Ok(ours.and_then(|d| d.spec.as_ref()?.replicas))
    }

    /// Notes of events, by reason.
    pub fn events(&self, reason: &str) -> Result<Vec<String>> {
        let api: Api<Event> = self.api();
        let events = self.runtime.block_on(api.list(&ListParams::default()))?;
        let ours = events
            .items
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some(reason));
        Ok(ours.filter_map(|event| event.note).collect())
    }

    /// What the operator left behind in its own namespace, by what it is.
    pub fn left_behind(&self) -> Result<Option<BTreeMap<String, String>>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.installation.own_namespace);
        let maps = self.runtime.block_on(api.list(&ListParams::default()))?;
        let is_note = |map: &ConfigMap| {
            let name = map.metadata.name.as_deref();
            name.is_some_and(|name| name.starts_with("assay-left-behind"))
        };
        Ok(maps.items.into_iter().find(is_note).and_then(|map| map.data))
    }

    /// Waits for the first instance, or the one that is not among `known`.
    pub fn instance_beside(&self, known: &[&str]) -> Result<RevisionInstance> {
        self.wait("another instance", || {
            Ok(self
                .instances()?
                .into_values()
                .find(|instance| !known.contains(&instance.revision.as_str())))
        })
    }

    /// Applies a pipeline and brings its first revision to life, as its processors would; gives the revision.
    pub fn live(&self, manifest: &Value) -> Result<String> {
        let name = manifest["metadata"]["name"].as_str().context("a name")?;
        self.apply(manifest)?;
        let instance = self.instance_beside(&[])?;
        self.register(&instance)?;
        self.until_live(name, &instance.revision)?;
        Ok(instance.revision)
    }

    pub fn until_live(&self, name: &str, revision: &str) -> Result<()> {
        self.until(name, &format!("{revision} to be live"), |pipeline| {
            let status = pipeline.status.as_ref();
            status.is_some_and(|status| status.live_revision.as_deref() == Some(revision))
        })?;
        Ok(())
    }

    pub fn wait_until_gone(&self, name: &str) -> Result<()> {
        self.wait("the pipeline to be gone", || Ok(self.is_gone(name)?.then_some(())))
    }

    /// The instances that processors are told of, by revision.
    pub fn instances(&self) -> Result<BTreeMap<String, RevisionInstance>> {
        let instances = self.instances_of_all()?.into_iter();
        Ok(instances
            .map(|instance| (instance.revision.clone(), instance))
            .collect())
    }

    /// The same where pipelines of equal settings share a topic, and so the name of their revision.
    pub fn instances_of_all(&self) -> Result<Vec<RevisionInstance>> {
        let maps = self.config_maps()?.into_iter();
        let texts = maps.filter_map(|map| map.data?.remove("revision.json"));
        let instances = texts.map(|text| serde_json::from_str::<RevisionInstance>(&text));
        Ok(instances.collect::<Result<_, _>>()?)
    }

    /// Does what a processor does first: registers its revision.
    pub fn register(&self, instance: &RevisionInstance) -> Result<()> {
        let registration = registration(instance)?;
        let _guard = self.runtime.enter();
        let store = PostgresStore::new(&PostgresOptions::new(self.database.url(), "assay"))?;
        Ok(self.runtime.block_on(store.register(&registration, false))?)
    }

    /// Moves a revision on in every partition, as its processors would.
    pub fn progress(&self, revision: &str, next_offset: i64, watermark_s: i64) -> Result<()> {
        self.database.execute(&format!(
            "UPDATE assay.progress SET next_offset = {next_offset}, watermark_us = {watermark_s}::bigint * 1000000 WHERE revision = '{revision}'"
        ))
    }

    /// Waits until the pipeline is as `probe` wants it.
    pub fn until(&self, name: &str, what: &str, probe: impl Fn(&StrategyPipeline) -> bool) -> Result<StrategyPipeline> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let pipeline = self.get(name)?;
            if probe(&pipeline) {
                return Ok(pipeline);
            }
            if Instant::now() > deadline {
                bail!(
                    "waited {LIMIT:?} in vain for {what}; status: {}",
                    serde_json::to_string_pretty(&pipeline.status)?
                );
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits for a condition; gives its message.
    pub fn until_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> Result<String> {
        let found = |pipeline: &StrategyPipeline| condition(pipeline, kind).filter(|c| c.0 == status && c.1 == reason);
        let pipeline = self.until(name, &format!("{kind}={status} ({reason})"), |pipeline| {
            found(pipeline).is_some()
        })?;
        Ok(found(&pipeline).map(|condition| condition.2).unwrap_or_default())
    }

    /// Waits for anything; a failure shows every status.
    pub fn wait<T>(&self, what: &str, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        assay_tests::wait::until(LIMIT, what, probe).with_context(|| {
            self.kubectl(&["get", "sp", "-o", "jsonpath={.items[*].status}"])
                .unwrap_or_default()
        })
    }
}

/// What a processor registers of its revision.
pub fn registration(instance: &RevisionInstance) -> Result<Registration> {
    let offsets = instance.offsets.iter().map(|o| StartOffsets {
        partition: o.partition,
        start_offset: o.start_offset,
        live_from_offset: o.live_from_offset,
    });
    Ok(Registration {
        pipeline: instance.pipeline.clone(),
        cluster: instance.cluster.clone(),
        namespace: instance.namespace.clone(),
        name: instance.name.clone(),
        revision: instance.revision.clone(),
        settings: instance.settings.clone(),
        engine_semantics: i32::try_from(instance.engine_semantics)?,
        topic_identity: instance.topic_identity.clone(),
        partitions: instance.partitions,
        offsets: offsets.collect(),
    })
}

/// Status, reason and message of a condition of the current generation.
pub fn condition(pipeline: &StrategyPipeline, kind: &str) -> Option<(String, String, String)> {
    let conditions = &pipeline.status.as_ref()?.conditions;
    let condition = conditions
        .iter()
        .find(|c| c.type_ == kind && c.observed_generation == pipeline.metadata.generation)?;
    Some((
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    ))
}

async fn client(kubernetes: &Kubernetes) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubernetes.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn install_crd(kubernetes: &Kubernetes) -> Result<()> {
    static INSTALLED: Once<()> = Once::new();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../charts/assay/files/crds/strategypipelines.yaml"
    );
    let install = || {
        kubernetes.kubectl(&["apply", "--server-side", "-f", path])?;
        assay_tests::wait::until_ok(LIMIT, "the new resource", || {
            kubernetes.kubectl(&["get", "strategypipelines", "--all-namespaces"])
        })
        .map(drop)
    };
    INSTALLED.get(install).copied()
}
