//! What stands as this operator wrote it last, by what the watches tell. An object that does is not written again: a write that changes
//! nothing costs the API server as much as one that does. Whatever is not known for certain is written.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use blake3::Hash;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::Serialize;

/// See the module.
#[derive(Default)]
pub struct Written {
    objects: Mutex<HashMap<Id, Standing>>,
}

/// Kind, namespace, name.
type Id = (String, String, String);

#[derive(Default)]
struct Standing {
    /// The form that its watch showed last.
    seen: Option<Form>,
    /// What was written last, and the form it got.
    written: Option<(Hash, Form)>,
}

/// What changes where somebody changes what we write, and stays where a controller only reports on the object. We write no annotations.
#[derive(PartialEq, Eq)]
struct Form(Hash);

impl Form {
    fn of(object: &impl Resource) -> Option<Self> {
        let meta = object.meta();
        // The API server counts changes of most kinds' spec; of the others the whole object's version has to do.
        let version = match meta.generation {
            Some(generation) if generation > 0 => generation.to_string(),
            _ => meta.resource_version.clone()?,
        };
        hash(&(&meta.uid, version, &meta.labels, &meta.owner_references)).map(Self)
    }
}

impl Written {
    /// Whether the object stands in the cluster as `object`, written by this process and changed by nobody since.
    #[must_use]
    pub fn stands<K>(&self, object: &K) -> bool
    where
        K: Resource + Serialize,
        K::DynamicType: Default,
    {
        self.with(|objects| {
            let Some(Standing {
                seen,
                written: Some((content, form)),
            }) = objects.get(&id(object))
            else {
                return false;
            };
            seen.as_ref() == Some(form) && hash(object).as_ref() == Some(content)
        })
    }

    /// Notes that `object` was written, and became `result`.
    pub fn wrote<K>(&self, object: &K, result: &K)
    where
        K: Resource + Serialize,
        K::DynamicType: Default,
    {
        let written = hash(object).zip(Form::of(result));
        self.with(|objects| objects.entry(id(result)).or_default().written = written);
    }

    /// Forgets an object that is being deleted.
    pub fn forget<K>(&self, namespace: &str, name: &str)
    where
        K: Resource,
        K::DynamicType: Default,
    {
        self.with(|objects| objects.remove(&(kind::<K>(), namespace.to_owned(), name.to_owned())));
    }

    /// Takes in what a watch tells.
    pub fn observe<K>(&self, event: &Event<K>)
    where
        K: Resource,
        K::DynamicType: Default,
    {
        self.with(|objects| match event {
            // What went while nobody watched is not told of: it is what the list that follows does not hold.
            Event::Init => {
                let kind = kind::<K>();
                let ours = objects.iter_mut().filter(|((of, ..), _)| *of == kind);
                ours.for_each(|(_, standing)| standing.seen = None);
            }
            Event::InitApply(object) | Event::Apply(object) => {
                objects.entry(id(object)).or_default().seen = Form::of(object);
            }
            Event::Delete(object) => drop(objects.remove(&id(object))),
            Event::InitDone => {}
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Id, Standing>) -> T) -> T {
        act(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn kind<K>() -> String
where
    K: Resource,
    K::DynamicType: Default,
{
    K::kind(&K::DynamicType::default()).into_owned()
}

fn id<K>(object: &K) -> Id
where
    K: Resource,
    K::DynamicType: Default,
{
    (kind::<K>(), object.namespace().unwrap_or_default(), object.name_any())
}

/// Of the object's JSON; `None` where it has none.
fn hash(object: &impl Serialize) -> Option<Hash> {
    serde_json::to_vec(object).ok().map(|json| blake3::hash(&json))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn config_map(content: &str, version: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some("settings".into());
        map.metadata.namespace = Some("trading".into());
        map.metadata.resource_version = Some(version.into());
        map.data = Some([("key".to_owned(), content.to_owned())].into());
        map
    }

    /// Written as `a`, which became version 7, and seen so.
    fn written() -> (Written, ConfigMap) {
        let (written, wanted) = (Written::default(), config_map("a", ""));
        written.wrote(&wanted, &config_map("a", "7"));
        written.observe(&Event::Apply(config_map("a", "7")));
        (written, wanted)
    }

    #[test]
    fn what_was_written_and_seen_stands_until_something_else_is_wanted() {
        let (written, wanted) = written();
        assert!(written.stands(&wanted));
        assert!(!written.stands(&config_map("b", "")));
    }

    #[test]
    fn what_somebody_changed_or_deleted_does_not_stand() {
        let (changed, wanted) = written();
        changed.observe(&Event::Apply(config_map("x", "8")));
        assert!(!changed.stands(&wanted));
        let (deleted, wanted) = written();
        deleted.observe(&Event::Delete(config_map("a", "7")));
        assert!(!deleted.stands(&wanted));
    }

    #[test]
    fn a_change_that_is_seen_before_our_own_answer_arrives_is_not_missed() {
        let (written, wanted) = (Written::default(), config_map("a", ""));
        written.observe(&Event::Apply(config_map("x", "8")));
        written.wrote(&wanted, &config_map("a", "7"));
        assert!(!written.stands(&wanted));
    }

    #[test]
    fn after_a_gap_in_the_watch_only_what_is_listed_stands() {
        let (written, wanted) = written();
        written.observe(&Event::<ConfigMap>::Init);
        assert!(!written.stands(&wanted));
        written.observe(&Event::InitApply(config_map("a", "7")));
        assert!(written.stands(&wanted));
    }

    #[test]
    fn a_report_of_a_controller_changes_nothing_and_a_changed_label_does() {
        let mut wanted = Deployment::default();
        wanted.metadata.name = Some("processors".into());
        let standing = |generation, version: &str| {
            let mut standing = wanted.clone();
            standing.metadata.generation = Some(generation);
            standing.metadata.resource_version = Some(version.into());
            standing
        };
        let written = Written::default();
        written.wrote(&wanted, &standing(1, "7"));
        written.observe(&Event::Apply(standing(1, "8")));
        assert!(written.stands(&wanted), "only its status has changed");
        let mut labelled = standing(1, "9");
        labelled.metadata.labels = Some([("team".to_owned(), "fx".to_owned())].into());
        written.observe(&Event::Apply(labelled));
        assert!(!written.stands(&wanted));
        written.observe(&Event::Apply(standing(2, "10")));
        assert!(!written.stands(&wanted), "its spec has changed");
    }

    #[test]
    fn what_was_never_written_by_this_process_does_not_stand() {
        let written = Written::default();
        written.observe(&Event::Apply(config_map("a", "7")));
        assert!(!written.stands(&config_map("a", "")));
    }
}
