//! Many pipelines in one namespace: applied, brought to life as their processors would, deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use assay_crds::StrategyPipeline;
use assay_processor::stores::{PostgresOptions, PostgresStore, ResultStore as _};
use assay_tests::scratch::unique;
use assay_tests::wait;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::lab::{Lab, condition, registration};

const LIMIT: Duration = Duration::from_mins(10);
const REGISTRATIONS_AT_A_TIME: usize = 8;

/// How many of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) pipelines: usize,
    /// Of each topic.
    pub(crate) partitions: i32,
    /// Among which the pipelines are dealt out.
    pub(crate) credentials: usize,
}

/// See the module.
pub(crate) struct Estate {
    sizes: Sizes,
    prefix: String,
}

impl Estate {
    /// With the Secrets made, and nothing applied yet.
    ///
    /// # Errors
    /// The API server or the database refuses.
    pub(crate) fn new(lab: &Lab, sizes: Sizes) -> Result<Self> {
        for number in 0..sizes.credentials {
            let role = format!("tenant_{number}");
            lab.database.execute(&format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            ))?;
            let url = lab.database.url().replacen("//assay@", &format!("//{role}@"), 1);
            lab.put_secret(&secret(number), &url)?;
        }
        Ok(Self {
            sizes,
            prefix: unique("p"),
        })
    }

    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.sizes.pipelines).map(|number| format!("{}-{number}", self.prefix))
    }

    /// Applies all of them, one after another.
    ///
    /// # Errors
    /// The API server refuses.
    pub(crate) fn apply(&self, lab: &Lab) -> Result<()> {
        for (number, name) in self.names().enumerate() {
            lab.apply(&self.manifest(lab, &name, number % self.sizes.credentials))?;
        }
        Ok(())
    }

    fn manifest(&self, lab: &Lab, name: &str, credential: usize) -> Value {
        let mut manifest = lab.manifest(name, &format!("raw.{name}"));
        let spec = &mut manifest["spec"];
        // Any difference makes another connection; this one changes nothing else.
        let age = 900_000 + credential;
        spec["kafka"]["clientConfig"] = json!({"metadata.max.age.ms": age.to_string()});
        spec["source"]["partitions"] = json!(self.sizes.partitions);
        spec["source"]["deletionPolicy"] = json!("Delete");
        spec["results"]["postgres"]["secret"]["name"] = json!(secret(credential));
        manifest
    }

    /// Waits until each one says that its topic is as stated.
    ///
    /// # Errors
    /// It takes too long.
    pub(crate) fn until_topics_are_ready(&self, lab: &Lab) -> Result<()> {
        self.until_each(lab, "topics", |pipeline| {
            pipeline
                .is_some_and(|pipeline| condition(pipeline, "TopicsReady").is_some_and(|(status, ..)| status == "True"))
        })
    }

    /// Registers each one's first revision, as its first processor would, and waits until all are live.
    ///
    /// # Errors
    /// It takes too long, or the database refuses.
    pub(crate) fn bring_to_life(&self, lab: &Lab) -> Result<()> {
        let status = |pipeline: Option<&StrategyPipeline>| pipeline.and_then(|pipeline| pipeline.status.clone());
        self.until_each(lab, "first revisions", |pipeline| {
            status(pipeline).is_some_and(|status| status.candidate_revision.is_some())
        })?;
        let instances = lab.instances()?;
        lab.runtime.block_on(async {
            let store = PostgresStore::new(&PostgresOptions::new(lab.database.url(), "assay"))?;
            let registrations = instances.values().map(registration).collect::<Result<Vec<_>>>()?;
            let registered = registrations
                .iter()
                .map(|registration| store.register(registration, false));
            let all = futures::stream::iter(registered).buffer_unordered(REGISTRATIONS_AT_A_TIME);
            all.try_collect::<()>().await.context("a registration")
        })?;
        self.until_each(lab, "live revisions", |pipeline| {
            status(pipeline).is_some_and(|status| status.live_revision.is_some())
        })
    }

    /// Deletes all of them with their topics, and waits until they and all that was made for them are gone: what is measured next is not
    /// to pay for it.
    ///
    /// # Errors
    /// It takes too long.
    pub(crate) fn delete(self, lab: &Lab) -> Result<()> {
        for name in self.names() {
            lab.delete(&name)?;
        }
        self.until_each(lab, "deletions", |pipeline| pipeline.is_none())?;
        let kinds = "deployments,replicasets,pods,configmaps,poddisruptionbudgets,serviceaccounts,networkpolicies";
        let ours = "--selector=app.kubernetes.io/managed-by=assay-operator";
        wait::until(LIMIT, "the garbage collector", || {
            let left = lab.kubectl(&["get", kinds, ours, "--output=name"])?;
            Ok(left.is_empty().then_some(()))
        })
    }

    /// Waits until each pipeline is as wanted; `None` is one that is gone. It watches instead of asking again and again, because the
    /// API server has enough to do.
    fn until_each(&self, lab: &Lab, what: &str, is_done: impl Fn(Option<&StrategyPipeline>) -> bool) -> Result<()> {
        let mut waiting: BTreeSet<String> = self.names().collect();
        let waited = lab
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, watch(&lab.api(), &mut waiting, is_done)).await });
        match waited {
            Ok(result) => result,
            Err(_) => bail!(
                "waited {LIMIT:?} in vain for {} {what}, as of {:?}",
                waiting.len(),
                waiting.first()
            ),
        }
    }
}

fn secret(credential: usize) -> String {
    format!("results-{credential}")
}

async fn watch(
    api: &Api<StrategyPipeline>,
    waiting: &mut BTreeSet<String>,
    is_done: impl Fn(Option<&StrategyPipeline>) -> bool,
) -> Result<()> {
    // A watch ends after some minutes; then it begins anew with what is there.
    while !waiting.is_empty() {
        let known = api.list(&ListParams::default()).await?;
        waiting.retain(|name| !is_done(known.iter().find(|pipeline| pipeline.name_any() == *name)));
        let version = known.metadata.resource_version.unwrap_or_default();
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        while !waiting.is_empty()
            && let Some(event) = events.try_next().await?
        {
            let (pipeline, is_there) = match event {
                WatchEvent::Added(pipeline) | WatchEvent::Modified(pipeline) => (pipeline, true),
                WatchEvent::Deleted(pipeline) => (pipeline, false),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("the watch failed: {status:?}"),
            };
            if is_done(is_there.then_some(&pipeline)) {
                waiting.remove(&pipeline.name_any());
            }
        }
    }
    Ok(())
}
