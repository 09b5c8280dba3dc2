//! `plan`: what applying a manifest would change and what it costs. Reads only.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use assay_crds::{StrategyPipeline, load_pipelines};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::context::{Context, Settings};
use crate::observe::Observer;
use crate::pipeline::dereference::{Found, dereference};
use crate::pipeline::validate::{Judgement, validate};
use crate::topics::TopicAction;

/// Plans the manifests of a file; without a cluster, only whether they are valid.
///
/// # Errors
/// Where the file cannot be read or is invalid.
pub async fn file(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let wanted = load_pipelines(&text).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let client = match Client::try_default().await {
        Ok(client) => client,
        Err(error) => return Ok(without_cluster(&wanted, &error.to_string())),
    };
    let mut plans = String::new();
    for pipeline in wanted {
        plans += &one(&client, as_it_would_be(&client, pipeline).await?).await?;
    }
    Ok(plans)
}

/// Plans every pipeline as it stands.
///
/// # Errors
/// Where the API server refuses.
pub async fn all() -> anyhow::Result<String> {
    let client = Client::try_default()
        .await
        .context("no way to the API server; set KUBECONFIG")?;
    let pipelines = Api::<StrategyPipeline>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let mut plans = String::new();
    for pipeline in pipelines {
        plans += &one(&client, pipeline).await?;
    }
    Ok(if plans.is_empty() {
        "there is no StrategyPipeline\n".to_owned()
    } else {
        plans
    })
}

fn without_cluster(pipelines: &[StrategyPipeline], reason: &str) -> String {
    let names: Vec<String> = pipelines.iter().map(ResourceExt::name_any).collect();
    format!("{}: valid. No cluster to compare with ({reason}).\n", names.join(", "))
}

/// The object as it would be after applying: the new spec on the old object.
async fn as_it_would_be(client: &Client, wanted: StrategyPipeline) -> anyhow::Result<StrategyPipeline> {
    let namespace = wanted
        .namespace()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let api: Api<StrategyPipeline> = Api::namespaced(client.clone(), &namespace);
    let mut object = wanted;
    object.metadata.namespace = Some(namespace);
    if let Some(old) = api.get_opt(&object.name_any()).await? {
        object
            .validate_cel_update(&old)
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        object = StrategyPipeline {
            spec: object.spec,
            ..old
        };
    }
    Ok(object)
}

async fn one(client: &Client, pipeline: StrategyPipeline) -> anyhow::Result<String> {
    let settings = Settings {
        processor_image: String::new(),
        cluster: String::new(),
        namespace: client.default_namespace().to_owned(),
        max_concurrent_upgrades: usize::MAX,
    };
    let observer = Observer::start(client.clone(), "plan")?;
    let context = Context::new(client.clone(), settings, Vec::new(), observer);
    let found = dereference(&context, Arc::new(pipeline)).await?;
    let judgement = validate(&found, &context.settings);
    Ok(story(&found, &judgement))
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
        let from = live.map_or_else(|| "none".to_owned(), |live| live);
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
