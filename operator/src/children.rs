//! What stands in the cluster of each pipeline, as last listed, until a watch or a write of ours says that something of it moved. So a
//! pass that has nothing to do lists nothing, and one that follows a change sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_crds::RevisionInstance;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use crate::names::PIPELINE_LABEL;

/// What was listed so long ago is listed again: a watch may be silent for as long before it notices that it is cut off.
const AGE: Duration = Duration::from_mins(5);

/// ConfigMaps and Deployments of one pipeline.
#[derive(Debug, Default)]
pub struct Children {
    /// Instances of ConfigMaps by revision, those of an earlier pipeline of this name as well.
    pub instances: BTreeMap<String, RevisionInstance>,
    /// Names of all ConfigMaps of revisions.
    pub config_maps: Vec<String>,
    /// Deployments by revision.
    pub workloads: BTreeMap<String, Workload>,
}

/// A Deployment of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods wanted.
    pub wanted: i32,
    /// Pods there.
    pub replicas: i32,
    /// Pods ready.
    pub ready: i32,
    /// Whether its controller has seen its newest form, and every pod has it.
    pub settled: bool,
}

/// See the module.
#[derive(Default)]
pub struct KnownChildren(Mutex<Known>);

#[derive(Default)]
struct Known {
    listed: HashMap<Id, (Instant, Arc<Children>)>,
    /// How often anything moved, of any pipeline.
    moves: u64,
}

/// Namespace and name of a pipeline.
type Id = (String, String);

/// A moment before a list: what moves after it may be missing in the list.
#[derive(Clone, Copy)]
pub struct Moment(u64);

impl KnownChildren {
    /// What was listed and stands.
    ///
    /// # Errors
    /// Nothing is known: list, and `keep` it with the moment given.
    pub fn get(&self, namespace: &str, pipeline: &str) -> Result<Arc<Children>, Moment> {
        self.with(|known| {
            let listed = known.listed.get(&id(namespace, pipeline));
            let young = listed.filter(|(when, _)| when.elapsed() < AGE);
            young.map_or(Err(Moment(known.moves)), |(_, children)| Ok(Arc::clone(children)))
        })
    }

    /// Takes a list that was begun at a moment, unless something moved since.
    pub fn keep(&self, namespace: &str, pipeline: &str, moment: Moment, children: Arc<Children>) {
        self.with(|known| {
            if known.moves == moment.0 {
                known.listed.insert(id(namespace, pipeline), (Instant::now(), children));
            }
        });
    }

    /// Something of a pipeline moves.
    pub fn moves(&self, namespace: &str, pipeline: &str) {
        self.with(|known| {
            known.moves += 1;
            known.listed.remove(&id(namespace, pipeline));
        });
    }

    /// Takes in what a watch tells.
    pub fn observe<K: Resource>(&self, event: &Event<K>) {
        match event {
            // While a watch lists anew, what went meanwhile is not told of.
            Event::Init | Event::InitDone => self.with(|known| {
                known.moves += 1;
                known.listed.clear();
            }),
            Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                if let Some(pipeline) = object.labels().get(PIPELINE_LABEL) {
                    self.moves(&namespace, pipeline);
                }
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn id(namespace: &str, pipeline: &str) -> Id {
    (namespace.to_owned(), pipeline.to_owned())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    /// Of the pipeline `majors`.
    fn config_map() -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some("trading".into());
        map.metadata.labels = Some([(PIPELINE_LABEL.to_owned(), "majors".to_owned())].into());
        map
    }

    /// With `majors` and `minors` listed.
    fn listed() -> KnownChildren {
        let known = KnownChildren::default();
        for pipeline in ["majors", "minors"] {
            let Err(moment) = known.get("trading", pipeline) else {
                panic!("nothing was listed yet");
            };
            known.keep("trading", pipeline, moment, Arc::default());
        }
        known
    }

    fn knows(known: &KnownChildren, pipeline: &str) -> bool {
        known.get("trading", pipeline).is_ok()
    }

    #[test]
    fn a_list_stands_until_something_of_its_pipeline_moves() {
        let known = listed();
        assert!(knows(&known, "majors"));
        known.observe(&Event::Delete(config_map()));
        assert!(!knows(&known, "majors"));
        assert!(knows(&known, "minors"), "nothing of this one moved");
    }

    #[test]
    fn a_write_of_our_own_makes_the_list_old_before_the_watch_tells_of_it() {
        let known = listed();
        known.moves("trading", "majors");
        assert!(!knows(&known, "majors"));
    }

    #[test]
    fn a_list_during_which_something_moved_is_not_kept() {
        let known = KnownChildren::default();
        let Err(moment) = known.get("trading", "majors") else {
            panic!("nothing was listed yet");
        };
        known.observe(&Event::Apply(config_map()));
        known.keep("trading", "majors", moment, Arc::default());
        assert!(!knows(&known, "majors"));
    }

    #[test]
    fn after_a_gap_in_the_watch_everything_is_listed_again() {
        let known = listed();
        known.observe(&Event::<ConfigMap>::Init);
        assert!(!knows(&known, "majors") && !knows(&known, "minors"));
    }
}
