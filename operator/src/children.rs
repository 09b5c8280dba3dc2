//! What stands in the cluster of each pipeline: its Deployments and its revisions' ConfigMaps, as their watches tell, and as answers to
//! our own writes tell before them. So no pass lists anything, and one that follows a write sees it. Only what a pass asks for is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use assay_crds::RevisionInstance;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;

use crate::names::{PIPELINE_LABEL, REVISION_LABEL};
use crate::pipeline::build::{PROCESSOR, REVISION_KEY};

/// A Deployment of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Which revision's pods it runs.
    pub revision: String,
    /// Pods wanted.
    pub wanted: i32,
    /// Pods there.
    pub replicas: i32,
    /// Pods ready.
    pub ready: i32,
    /// Whether its controller has seen its newest form, and every pod has it.
    pub settled: bool,
    /// Image of its processors.
    pub image: Option<String>,
}

/// A kind of which something is kept.
pub trait Child: Resource {
    /// What is kept.
    type Facts: Clone;

    /// What is kept of this one; `None` where it is none of ours.
    fn facts(&self) -> Option<Self::Facts>;
}

impl Child for Deployment {
    type Facts = Workload;

    fn facts(&self) -> Option<Workload> {
        let revision = self.labels().get(REVISION_LABEL)?.clone();
        let wanted = self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &self.status else {
            return Some(Workload {
                revision,
                wanted,
                image: image(self),
                ..Workload::default()
            });
        };
        let (replicas, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
        let seen = status.observed_generation >= self.metadata.generation;
        Some(Workload {
            revision,
            wanted,
            replicas,
            ready: status.ready_replicas.unwrap_or(0),
            settled: seen && updated == wanted && replicas == wanted,
            image: image(self),
        })
    }
}

fn image(deployment: &Deployment) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let processor = pod.containers.iter().find(|container| container.name == PROCESSOR)?;
    processor.image.clone()
}

impl Child for ConfigMap {
    /// `None` where it cannot be read: it is replaced and removed like any other.
    type Facts = Option<RevisionInstance>;

    fn facts(&self) -> Option<Self::Facts> {
        self.labels().get(REVISION_LABEL)?;
        let text = self.data.as_ref().and_then(|data| data.get(REVISION_KEY));
        Some(text.and_then(|text| serde_json::from_str(text).ok()))
    }
}

/// All children of one kind.
pub struct Children<K: Child> {
    known: Mutex<Known<K::Facts>>,
    /// Scopes that there are watches for.
    scopes: usize,
    /// Those whose watch has listed.
    listed: watch::Sender<BTreeSet<Scope>>,
}

struct Known<F> {
    /// By namespace and pipeline, then by name.
    pipelines: HashMap<(String, String), BTreeMap<String, Standing<F>>>,
    /// Scopes whose watch lists anew, with what was known when it began and was not listed yet.
    listing: HashMap<Scope, HashSet<Path>>,
}

struct Standing<F> {
    version: u64,
    facts: F,
}

/// The namespace that a watch looks at; `None` = all.
pub type Scope = Option<String>;

/// Namespace, pipeline, name.
type Path = (String, String, String);

impl<K: Child> Children<K> {
    /// With nothing known until the watches of as many scopes have listed.
    #[must_use]
    pub fn new(scopes: usize) -> Self {
        let known = Known {
            pipelines: HashMap::new(),
            listing: HashMap::new(),
        };
        Self {
            known: Mutex::new(known),
            scopes,
            listed: watch::Sender::default(),
        }
    }

    /// Waits until every watch has listed.
    pub async fn listed(&self) {
        let mut listed = self.listed.subscribe();
        // It fails where the sender is gone, and that lives as long as this.
        drop(listed.wait_for(|listed| listed.len() == self.scopes).await);
    }

    /// Those of a pipeline, by name.
    #[must_use]
    pub fn of(&self, namespace: &str, pipeline: &str) -> BTreeMap<String, K::Facts> {
        let id = (namespace.to_owned(), pipeline.to_owned());
        self.with(|known| {
            let children = known.pipelines.get(&id).into_iter().flatten();
            children
                .map(|(name, standing)| (name.clone(), standing.facts.clone()))
                .collect()
        })
    }

    /// Takes in an object as the API server showed it, unless a newer form of it is known.
    pub fn saw(&self, object: &K) {
        let (Some(path), Some(facts)) = (path(object), object.facts()) else {
            return;
        };
        let version = version(object);
        self.with(|known| {
            for unseen in known.listing.values_mut() {
                unseen.remove(&path);
            }
            let (namespace, pipeline, name) = path;
            let children = known.pipelines.entry((namespace, pipeline)).or_default();
            if children.get(&name).is_none_or(|standing| standing.version <= version) {
                children.insert(name, Standing { version, facts });
            }
        });
    }

    /// Takes in what the watch of a scope tells.
    pub fn observe(&self, scope: &Scope, event: &Event<K>) {
        match event {
            Event::Init => self.with(|known| known.begin_list(scope)),
            Event::InitApply(object) | Event::Apply(object) => self.saw(object),
            Event::Delete(object) => {
                if let Some(path) = path(object) {
                    self.with(|known| known.remove(&path, version(object)));
                }
            }
            Event::InitDone => self.end_list(scope),
        }
    }

    /// What went while nobody watched is not told of: it is what the list did not hold.
    fn end_list(&self, scope: &Scope) {
        self.with(|known| {
            let gone = known.listing.remove(scope).unwrap_or_default();
            for path in &gone {
                known.remove(path, u64::MAX);
            }
        });
        self.listed.send_modify(|listed| {
            listed.insert(scope.clone());
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known<K::Facts>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F> Known<F> {
    fn begin_list(&mut self, scope: &Scope) {
        let inside = |(namespace, _): &&(String, String)| scope.as_ref().is_none_or(|scope| scope == namespace);
        let pipelines = self.pipelines.iter().filter(|(id, _)| inside(id));
        let unseen = pipelines.flat_map(|((namespace, pipeline), children)| {
            let path = |name: &String| (namespace.clone(), pipeline.clone(), name.clone());
            children.keys().map(path)
        });
        let unseen = unseen.collect();
        self.listing.insert(scope.clone(), unseen);
    }

    /// Forgets an object that was gone at a version; one that was made anew since stays.
    fn remove(&mut self, (namespace, pipeline, name): &Path, version: u64) {
        let id = (namespace.clone(), pipeline.clone());
        if let Some(children) = self.pipelines.get_mut(&id) {
            children.retain(|known, standing| known != name || standing.version > version);
            if children.is_empty() {
                self.pipelines.remove(&id);
            }
        }
    }
}

fn path(object: &impl Resource) -> Option<Path> {
    let pipeline = object.labels().get(PIPELINE_LABEL)?.clone();
    Some((object.namespace().unwrap_or_default(), pipeline, object.name_any()))
}

/// Versions of one kind may be compared as numbers: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>.
fn version(object: &impl Resource) -> u64 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    use super::*;

    const EVERYWHERE: Scope = None;

    /// A Deployment of the pipeline `majors`.
    fn deployment(name: &str, replicas: i32, version: u64) -> Deployment {
        let mut deployment = Deployment::default();
        deployment.metadata.name = Some(name.into());
        deployment.metadata.namespace = Some("trading".into());
        deployment.metadata.resource_version = Some(version.to_string());
        let labels = [(PIPELINE_LABEL, "majors"), (REVISION_LABEL, "3")];
        deployment.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let mut spec = DeploymentSpec {
            replicas: Some(replicas),
            ..DeploymentSpec::default()
        };
        spec.template.spec = Some(pod(&[("sidecar", "proxy:1"), (PROCESSOR, "assay:1")]));
        deployment.spec = Some(spec);
        deployment
    }

    fn pod(containers: &[(&str, &str)]) -> PodSpec {
        let container = |(name, image): &(&str, &str)| Container {
            name: (*name).into(),
            image: Some((*image).into()),
            ..Container::default()
        };
        PodSpec {
            containers: containers.iter().map(container).collect(),
            ..PodSpec::default()
        }
    }

    #[test]
    fn the_image_of_processors_is_known_before_and_after_the_first_status() {
        let mut made = deployment("a", 1, 7);
        let image = |deployment: &Deployment| deployment.facts().and_then(|workload| workload.image);
        assert_eq!(image(&made).as_deref(), Some("assay:1"));
        made.status = Some(DeploymentStatus::default());
        assert_eq!(image(&made).as_deref(), Some("assay:1"));
    }

    /// With what a first list held.
    fn listed(objects: &[Deployment]) -> Children<Deployment> {
        let children = Children::new(1);
        list(&children, objects);
        children
    }

    fn list(children: &Children<Deployment>, objects: &[Deployment]) {
        children.observe(&EVERYWHERE, &Event::Init);
        for object in objects {
            children.observe(&EVERYWHERE, &Event::InitApply(object.clone()));
        }
        children.observe(&EVERYWHERE, &Event::InitDone);
    }

    fn wanted(children: &Children<Deployment>) -> Vec<(String, i32)> {
        let of = children.of("trading", "majors").into_iter();
        of.map(|(name, workload)| (name, workload.wanted)).collect()
    }

    #[test]
    fn a_write_of_our_own_is_known_before_the_watch_tells_of_it() {
        let children = listed(&[deployment("a", 1, 7)]);
        children.saw(&deployment("a", 2, 9));
        children.observe(&EVERYWHERE, &Event::Apply(deployment("a", 1, 8)));
        assert_eq!(wanted(&children), [("a".into(), 2)]);
    }

    #[test]
    fn what_is_deleted_is_forgotten_unless_it_was_made_anew() {
        let children = listed(&[deployment("a", 1, 7), deployment("b", 1, 7)]);
        children.saw(&deployment("b", 2, 9));
        children.observe(&EVERYWHERE, &Event::Delete(deployment("a", 1, 8)));
        children.observe(&EVERYWHERE, &Event::Delete(deployment("b", 1, 8)));
        assert_eq!(wanted(&children), [("b".into(), 2)]);
    }

    #[test]
    fn what_went_while_nobody_watched_is_forgotten_when_the_new_list_is_whole() {
        let children = listed(&[deployment("a", 1, 7), deployment("b", 1, 7)]);
        children.observe(&EVERYWHERE, &Event::Init);
        children.observe(&EVERYWHERE, &Event::InitApply(deployment("b", 1, 7)));
        assert_eq!(wanted(&children).len(), 2, "the list is not whole yet");
        children.observe(&EVERYWHERE, &Event::InitDone);
        assert_eq!(wanted(&children), [("b".into(), 1)]);
    }

    #[test]
    fn what_is_written_while_a_watch_lists_stays() {
        let children = listed(&[]);
        children.observe(&EVERYWHERE, &Event::Init);
        children.saw(&deployment("a", 1, 9));
        children.observe(&EVERYWHERE, &Event::InitDone);
        assert_eq!(wanted(&children), [("a".into(), 1)]);
    }

    #[test]
    fn a_list_of_one_namespace_says_nothing_about_another() {
        let children = listed(&[deployment("a", 1, 7)]);
        let elsewhere = Some("research".to_owned());
        children.observe(&elsewhere, &Event::Init);
        children.observe(&elsewhere, &Event::InitDone);
        assert_eq!(wanted(&children), [("a".into(), 1)]);
    }

    #[test]
    fn nothing_is_listed_before_every_scope_is_however_often_one_lists() {
        let children = Children::<Deployment>::new(2);
        let [research, trading] = ["research", "trading"].map(|scope| Some(scope.to_owned()));
        for scope in [&research, &research, &trading] {
            assert!(children.listed().now_or_never().is_none(), "{scope:?} lists only now");
            children.observe(scope, &Event::Init);
            children.observe(scope, &Event::InitDone);
        }
        assert!(children.listed().now_or_never().is_some());
    }
}
