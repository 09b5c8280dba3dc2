//! What stands as this operator wrote it last, by what the watches tell. An object that does is not written again: a write that changes
//! nothing costs the API server as much as one that does. Whatever is not known for certain is written.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use blake3::Hash;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use crate::children::Scope;

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
    /// A watch lists anew, and has not listed this.
    is_unlisted: bool,
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
                is_unlisted: _,
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
        self.with(|objects| {
            let standing = objects.entry(id(result)).or_default();
            standing.written = written;
            standing.is_unlisted = false;
        });
    }

    /// Forgets an object that is being deleted.
    pub fn forget<K>(&self, namespace: &str, name: &str)
    where
        K: Resource,
        K::DynamicType: Default,
    {
        self.with(|objects| objects.remove(&(kind::<K>(), namespace.to_owned(), name.to_owned())));
    }

    /// Takes in what the watch of a scope tells.
    pub fn observe<K>(&self, scope: &Scope, event: &Event<K>)
    where
        K: Resource,
        K::DynamicType: Default,
    {
        self.with(|objects| match event {
            Event::Init => {
                let listed = objects.iter_mut().filter(|(id, _)| is_inside::<K>(scope, id));
                listed.for_each(|(_, standing)| (standing.seen, standing.is_unlisted) = (None, true));
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let standing = objects.entry(id(object)).or_default();
                (standing.seen, standing.is_unlisted) = (Form::of(object), false);
            }
            Event::Delete(object) => drop(objects.remove(&id(object))),
            // What went while nobody watched is not told of: it is what the list did not hold.
            Event::InitDone => objects.retain(|id, standing| !(standing.is_unlisted && is_inside::<K>(scope, id))),
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Id, Standing>) -> T) -> T {
        act(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a watch of the kind in the scope tells of the object.
fn is_inside<K>(scope: &Scope, (kind_of, namespace, _): &Id) -> bool
where
    K: Resource,
    K::DynamicType: Default,
{
    *kind_of == kind::<K>() && scope.as_ref().is_none_or(|scope| scope == namespace)
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

    const EVERYWHERE: Scope = None;

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
        written.observe(&EVERYWHERE, &Event::Apply(config_map("a", "7")));
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
        changed.observe(&EVERYWHERE, &Event::Apply(config_map("x", "8")));
        assert!(!changed.stands(&wanted));
        let (deleted, wanted) = written();
        deleted.observe(&EVERYWHERE, &Event::Delete(config_map("a", "7")));
        assert!(!deleted.stands(&wanted));
    }

    #[test]
    fn a_change_that_is_seen_before_our_own_answer_arrives_is_not_missed() {
        let (written, wanted) = (Written::default(), config_map("a", ""));
        written.observe(&EVERYWHERE, &Event::Apply(config_map("x", "8")));
        written.wrote(&wanted, &config_map("a", "7"));
        assert!(!written.stands(&wanted));
    }

    #[test]
    fn after_a_gap_in_the_watch_only_what_is_listed_stands() {
        let (written, wanted) = written();
        written.observe(&EVERYWHERE, &Event::<ConfigMap>::Init);
        assert!(!written.stands(&wanted));
        written.observe(&EVERYWHERE, &Event::InitApply(config_map("a", "7")));
        assert!(written.stands(&wanted));
    }

    #[test]
    fn a_list_of_one_namespace_or_kind_says_nothing_about_another() {
        let (written, wanted) = written();
        let [trading, research] = ["trading", "research"].map(|scope| Some(scope.to_owned()));
        written.observe(&research, &Event::<ConfigMap>::Init);
        written.observe(&research, &Event::<ConfigMap>::InitDone);
        written.observe(&trading, &Event::<Deployment>::Init);
        written.observe(&trading, &Event::<Deployment>::InitDone);
        assert!(written.stands(&wanted));
    }

    #[test]
    fn what_a_whole_list_did_not_hold_is_forgotten_unless_it_was_written_meanwhile() {
        let (written, wanted) = written();
        let mut other = config_map("a", "");
        other.metadata.name = Some("other".into());
        written.observe(&EVERYWHERE, &Event::<ConfigMap>::Init);
        written.wrote(
            &other,
            &ConfigMap {
                metadata: kube::core::ObjectMeta {
                    resource_version: Some("9".into()),
                    ..other.metadata.clone()
                },
                ..other.clone()
            },
        );
        written.observe(&EVERYWHERE, &Event::<ConfigMap>::InitDone);
        let known = written.with(|objects| objects.keys().map(|(.., name)| name.clone()).collect::<Vec<_>>());
        assert_eq!(known, ["other"]);
        assert!(!written.stands(&wanted));
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
        written.observe(&EVERYWHERE, &Event::Apply(standing(1, "8")));
        assert!(written.stands(&wanted), "only its status has changed");
        let mut labelled = standing(1, "9");
        labelled.metadata.labels = Some([("team".to_owned(), "fx".to_owned())].into());
        written.observe(&EVERYWHERE, &Event::Apply(labelled));
        assert!(!written.stands(&wanted));
        written.observe(&EVERYWHERE, &Event::Apply(standing(2, "10")));
        assert!(!written.stands(&wanted), "its spec has changed");
    }

    #[test]
    fn what_was_never_written_by_this_process_does_not_stand() {
        let written = Written::default();
        written.observe(&EVERYWHERE, &Event::Apply(config_map("a", "7")));
        assert!(!written.stands(&config_map("a", "")));
    }
}
