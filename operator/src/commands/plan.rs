//! `plan`: what applying a manifest would change and what it costs. Reads only.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use assay_crds::{StrategyPipeline, load_pipelines};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};

use crate::context::{Context, Settings};
use crate::names::PIPELINE_LABEL;
use crate::observe::Observer;
use crate::pipeline::dereference::{Found, dereference};
use crate::pipeline::validate::{Judgement, validate};
use crate::topics::TopicAction;

const PLANS_AT_A_TIME: usize = 16;

/// Plans the manifests of a file; without a cluster, only whether they are valid.
///
/// # Errors
/// Where the file cannot be read or is invalid, or the API server refuses.
pub async fn file(path: &Path) -> anyhow::Result<String> {
    let text = read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let wanted = load_pipelines(&text).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let client = match super::connect().await {
        Ok(client) => client,
        Err(error) if names_a_cluster() => return Err(error),
        Err(_) => return Ok(without_cluster(&wanted)),
    };
    let planner = Planner::new(&client).await?;
    let mut plans = String::new();
    for pipeline in wanted {
        plans += &planner.plan(as_it_would_be(&client, pipeline).await?).await?;
    }
    Ok(plans)
}

/// `-` is standard input, as with kubectl.
fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin());
    }
    std::fs::read_to_string(path)
}

/// Whether somebody meant a cluster: then one that cannot be used is an error.
fn names_a_cluster() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let default = std::env::home_dir().map(|home| home.join(".kube/config"));
    is_set("KUBECONFIG") || is_set("KUBERNETES_SERVICE_HOST") || default.is_some_and(|path| path.exists())
}

/// Plans every pipeline as it stands.
///
/// # Errors
/// Where the API server refuses.
pub async fn all() -> anyhow::Result<String> {
    let planner = Planner::new(&super::connect().await?).await?;
    let pipelines = planner.context.pipelines();
    // Beside each other, because a broker that does not answer costs seconds; told in the order of the list.
    let plans = stream::iter(pipelines).map(|guard| planner.plan_as_it_stands(guard));
    let plans: Vec<String> = plans.buffered(PLANS_AT_A_TIME).try_collect().await?;
    Ok(if plans.is_empty() {
        "there is no StrategyPipeline\n".to_owned()
    } else {
        plans.concat()
    })
}

fn without_cluster(pipelines: &[StrategyPipeline]) -> String {
    let names: Vec<String> = pipelines.iter().map(ResourceExt::name_any).collect();
    format!(
        "{}: valid. No cluster to compare with; set KUBECONFIG to see what would change.\n",
        names.join(", ")
    )
}

/// Only who was refused lacks a right.
fn not_listed(what: &str, right: &str, error: kube::Error) -> anyhow::Error {
    let remedy = match &error {
        kube::Error::Api(status) if status.code == 403 => format!("; allow list of {right}"),
        kube::Error::Api(status) if status.code == 404 => "; install the chart, which brings the definition".to_owned(),
        _ => String::new(),
    };
    anyhow::Error::new(error).context(format!("{what} cannot be listed{remedy}"))
}

/// The object as it would be after applying: the new spec on the old object, or a new object as of now.
async fn as_it_would_be(client: &Client, wanted: StrategyPipeline) -> anyhow::Result<StrategyPipeline> {
    let namespace = wanted
        .namespace()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let api: Api<StrategyPipeline> = Api::namespaced(client.clone(), &namespace);
    let Some(old) = api.get_opt(&wanted.name_any()).await? else {
        let mut object = wanted;
        object.metadata.namespace = Some(namespace);
        // Whoever is there already has the older claim on a topic, also one of this second.
        let later = Timestamp::now().saturating_add(SignedDuration::from_secs(1))?;
        object.metadata.creation_timestamp = Some(Time(later));
        return Ok(object);
    };
    wanted
        .validate_cel_update(&old)
        .map_err(|errors| anyhow::anyhow!("{errors}"))?;
    Ok(StrategyPipeline {
        spec: wanted.spec,
        ..old
    })
}

/// Reads and judges as the operator would, and writes nothing.
struct Planner {
    context: Arc<Context>,
}

impl Planner {
    /// With every pipeline known: claims on topics decide among them.
    async fn new(client: &Client) -> anyhow::Result<Self> {
        let pipelines = Api::<DeserializeGuard<StrategyPipeline>>::all(client.clone())
            .list(&ListParams::default())
            .await
            .map_err(|error| not_listed("the pipelines", "strategypipelines in all namespaces", error))?;
        let mut known = Writer::default();
        for pipeline in pipelines {
            known.apply_watcher_event(&Event::Apply(pipeline));
        }
        let settings = Settings {
            processor_image: String::new(),
            cluster: String::new(),
            namespace: client.default_namespace().to_owned(),
            max_concurrent_upgrades: usize::MAX,
            resync: Duration::MAX,
            secrets_age: Duration::MAX,
            cleanup_limit: Duration::ZERO,
        };
        let observer = Observer::start(client.clone(), "plan")?;
        let context = Context::new(client.clone(), settings, vec![known.as_reader()], observer);
        Ok(Self { context })
    }

    async fn plan_as_it_stands(&self, guard: Arc<DeserializeGuard<StrategyPipeline>>) -> anyhow::Result<String> {
        match &guard.0 {
            Ok(pipeline) => self.plan(pipeline.clone()).await,
            Err(invalid) => Ok(format!("{}: cannot be read: {}\n", guard.name_any(), invalid.error)),
        }
    }

    async fn plan(&self, pipeline: StrategyPipeline) -> anyhow::Result<String> {
        self.read_children(&pipeline).await?;
        let found = dereference(&self.context, Arc::new(pipeline)).await;
        let judgement = validate(&found, &self.context.settings);
        Ok(story(&found, &judgement))
    }

    /// What watches tell an operator.
    async fn read_children(&self, pipeline: &StrategyPipeline) -> anyhow::Result<()> {
        let (context, namespace) = (&*self.context, pipeline.namespace().unwrap_or_default());
        let ours = ListParams::default().labels(&format!("{PIPELINE_LABEL}={}", pipeline.name_any()));
        let right = format!("deployments and configmaps in {namespace}");
        let refused = |error| not_listed("what stands", &right, error);
        let deployments = Api::<Deployment>::namespaced(context.client.clone(), &namespace);
        for deployment in deployments.list(&ours).await.map_err(refused)? {
            context.deployments.saw(&deployment);
        }
        let config_maps = Api::<ConfigMap>::namespaced(context.client.clone(), &namespace);
        for config_map in config_maps.list(&ours).await.map_err(refused)? {
            context.config_maps.saw(&config_map);
        }
        Ok(())
    }
}

/// The plan as text.
fn story(found: &Found, judgement: &Judgement) -> String {
    let mut text = format!("{}/{}\n", found.key.namespace, found.key.name);
    for topic in &judgement.topics {
        let line = match &topic.action {
            Some(TopicAction::Create) => format!(
                "create topic {} with {} partitions",
                topic.wish.name, topic.wish.partitions
            ),
            Some(TopicAction::Set(settings)) => format!("set {settings:?} on topic {}", topic.wish.name),
            None if topic.message.is_empty() => format!("topic {} stays as it is", topic.wish.name),
            None => topic.message.clone(),
        };
        let _ = writeln!(text, "  {line}");
    }
    if let Some(hold) = &judgement.hold {
        let _ = writeln!(text, "  held back: {hold}");
    }
    if let Some(rollout) = &judgement.rollout {
        text += &revision_story(found, judgement, rollout);
    }
    text
}

fn revision_story(found: &Found, judgement: &Judgement, rollout: &crate::rollout::Rollout) -> String {
    let live = found.view.as_ref().ok().and_then(|view| view.live.clone());
    let wanted = rollout.wanted.to_string();
    let mut text = String::new();
    if live.as_deref() == Some(&wanted) {
        let _ = writeln!(
            text,
            "  revision {wanted} stays live: no replay, no rebalance by settings"
        );
    } else {
        let run = judgement.runs.iter().find(|run| run.instance.revision == wanted);
        let records: Option<i64> = run.map(|run| {
            run.instance
                .offsets
                .iter()
                .map(|o| o.live_from_offset - o.start_offset)
                .sum()
        });
        let cost = records.map_or_else(
            || "a replay of unknown length".to_owned(),
            |n| format!("a replay of {n} records"),
        );
        let from = live.unwrap_or_else(|| "none".to_owned());
        let verb = if rollout.is_new { "start" } else { "resume" };
        let _ = writeln!(
            text,
            "  {verb} revision {wanted} beside the live one ({from}): {cost}, a consumer group of its own"
        );
    }
    for run in &judgement.runs {
        let now = found
            .workloads
            .get(&run.instance.revision)
            .map_or(0, |workload| workload.wanted);
        if now != run.replicas {
            let _ = writeln!(
                text,
                "  revision {}: {now} -> {} processors, one rebalance each",
                run.instance.revision, run.replicas
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::commands::told;

    #[test]
    fn only_who_is_refused_is_told_of_a_right() {
        let answer = |code| kube::Error::Api(Status::failure("no", "No").with_code(code).boxed());
        let forbidden = told(&not_listed("the pipelines", "strategypipelines", answer(403)));
        assert!(forbidden.contains("; allow list of strategypipelines"), "{forbidden}");
        let broken = told(&not_listed("the pipelines", "strategypipelines", answer(500)));
        assert!(!broken.contains("allow"), "{broken}");
    }
}
