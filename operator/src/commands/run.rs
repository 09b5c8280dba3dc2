//! `assay-operator run`: watches, and reconciles while it holds the lease.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use assay_crds::StrategyPipeline;
use futures::future::{Ready, join5, ready, select_all};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::client::ClientBuilder;
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Store, reflector};
use kube::runtime::{Predicate, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::admin;
use crate::args::RunArgs;
use crate::context::{Context, Settings};
use crate::leader::Leadership;
use crate::logging::LogLevel;
use crate::names::MANAGED_BY_LABEL;
use crate::observe::Observer;
use crate::pipeline::{back_off, reconcile};

/// Passes that may run at a time: each one mostly waits for somebody else.
const CONCURRENT_PASSES: u16 = 32;
/// Quick changes of one pipeline are taken together.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Objects that a first list takes at a time: what a whole list needs is never given back by the allocator.
const PAGE: u32 = 100;

type Guarded = DeserializeGuard<StrategyPipeline>;

/// Runs until SIGTERM, or until the lease is lost.
///
/// # Errors
/// Where the API server cannot be reached, the lease is lost, or the admin address is taken.
pub async fn run(args: RunArgs, level: LogLevel) -> anyhow::Result<()> {
    let client = super::connect().await?;
    let observer = Observer::start(client.clone(), &args.identity)?;
    let admin = admin::serve(args.admin, observer.registry.clone(), level);
    tokio::select! {
        served = admin => served.context("the admin address cannot be used; choose another with --admin"),
        acted = act(client, args, observer) => acted,
    }
}

/// Acts while the lease is held; hands it back when asked to stop, so that the next operator need not wait for it to run out.
async fn act(client: Client, args: RunArgs, observer: Observer) -> anyhow::Result<()> {
    let mut leadership = tokio::select! {
        leadership = Leadership::acquire(client, &args.own_namespace, &args.identity) => leadership?,
        () = terminated() => return Ok(()),
    };
    let fenced = ClientBuilder::try_from(Config::infer().await?)?
        .with_layer(&leadership.fence())
        .build();
    let result = tokio::select! {
        ended = control_all(&fenced, args, observer) => ended,
        error = leadership.lost() => Err(error.into()),
        () = terminated() => Ok(()),
    };
    leadership.hand_back().await;
    result
}

async fn control_all(client: &Client, args: RunArgs, observer: Observer) -> anyhow::Result<()> {
    let scopes: Vec<Option<String>> = if args.namespaces.is_empty() {
        vec![None]
    } else {
        args.namespaces.iter().cloned().map(Some).collect()
    };
    let writers: Vec<Writer<Guarded>> = scopes.iter().map(|_| Writer::default()).collect();
    let stores = writers.iter().map(Writer::as_reader).collect();
    let context = Context::new(client.clone(), settings(args), stores, observer);
    let controllers = scopes
        .into_iter()
        .zip(writers)
        .map(|(scope, writer)| Box::pin(control(client.clone(), scope, writer, Arc::clone(&context))));
    select_all(controllers).await;
    anyhow::bail!("a watch ended; restarting is the remedy")
}

fn settings(args: RunArgs) -> Settings {
    Settings {
        processor_image: args.processor_image,
        cluster: args.cluster,
        namespace: args.own_namespace,
        max_concurrent_upgrades: args.max_concurrent_upgrades,
        resync: args.resync,
        secrets_age: args.secrets_age,
        cleanup_limit: args.cleanup_limit,
    }
}

/// One controller for one namespace, or for all.
async fn control(client: Client, scope: Option<String>, writer: Writer<Guarded>, context: Arc<Context>) {
    let store: Store<Guarded> = writer.as_reader();
    let pipelines = reflector(
        writer,
        watcher(
            api::<Guarded>(&client, scope.as_deref()),
            watcher::Config::default().any_semantic().page_size(PAGE),
        )
        .modify(forget_managers),
    )
    .default_backoff()
    .applied_objects()
    .predicate_filter(
        predicates::generation
            .combine(predicates::finalizers)
            .combine(predicates::annotations),
        kube::runtime::PredicateConfig::default(),
    );
    let (told, watched) = (Arc::clone(&context), scope.clone());
    let deployments = observed::<Deployment>(&client, scope.as_deref(), &context)
        .inspect_ok(move |event| told.deployments.observe(&watched, event))
        .touched_objects();
    let (told, watched) = (Arc::clone(&context), scope.clone());
    let config_maps = observed::<ConfigMap>(&client, scope.as_deref(), &context)
        .inspect_ok(move |event| told.config_maps.observe(&watched, event));
    // Nobody waits for these: what somebody changed in them is mended by the next pass. Metadata is enough to know that something moved.
    let others = join5(
        config_maps.for_each(done),
        observed::<PartialObjectMeta<Service>>(&client, scope.as_deref(), &context).for_each(done),
        observed::<PartialObjectMeta<ServiceAccount>>(&client, scope.as_deref(), &context).for_each(done),
        observed::<PartialObjectMeta<NetworkPolicy>>(&client, scope.as_deref(), &context).for_each(done),
        observed::<PartialObjectMeta<PodDisruptionBudget>>(&client, scope.as_deref(), &context).for_each(done),
    );
    let controller = Controller::for_stream(pipelines, store)
        .owns_stream(deployments)
        .with_config(
            controller::Config::default()
                .debounce(DEBOUNCE)
                .concurrency(CONCURRENT_PASSES),
        )
        .run(
            reconcile,
            |guard, error, context| back_off(&guard, error, &context),
            context,
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "pass or watch failed");
            }
        });
    tokio::select! {
        () = controller => (),
        _ = others => (),
    }
}

/// Who manages which field is half of an object's memory, and nobody here asks for it.
fn forget_managers(guard: &mut Guarded) {
    match &mut guard.0 {
        Ok(pipeline) => pipeline.metadata.managed_fields = None,
        Err(invalid) => invalid.metadata.managed_fields = None,
    }
}

/// A watch of what we own of a kind.
fn observed<K>(
    client: &Client,
    scope: Option<&str>,
    context: &Arc<Context>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (context, watched) = (Arc::clone(context), scope.map(str::to_owned));
    let ours = watcher::Config::default()
        .labels(&format!("{MANAGED_BY_LABEL}=assay-operator"))
        .page_size(PAGE);
    watcher(api::<K>(client, scope), ours)
        .default_backoff()
        .inspect_ok(move |event| context.written.observe(&watched, event))
}

/// A watch mends itself; its errors are told where somebody waits for it.
fn done<T>(_: T) -> Ready<()> {
    ready(())
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signals the platform ends the process its own way.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}
