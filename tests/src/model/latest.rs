//! The simulated projection: the rules of the publish script, and the ways in which its contents are lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::SymbolView;
use assay_processor::latest::Publish;

use super::defect::Defect;
use super::log::World;

/// The keys of both revisions.
#[derive(Debug, Clone, Default)]
struct Keys {
    views: BTreeMap<(usize, i32, String), SymbolView>,
    markers: BTreeMap<(usize, i32), i64>,
    live: Option<usize>,
}

/// A Redis.
#[derive(Debug)]
pub(super) struct SimLatest {
    keys: Keys,
    dump: Keys,
    defect: Option<Defect>,
    world: Arc<World>,
}

impl SimLatest {
    /// An empty server.
    #[must_use]
    pub(super) fn new(world: Arc<World>, defect: Option<Defect>) -> Self {
        Self {
            keys: Keys::default(),
            dump: Keys::default(),
            defect,
            world,
        }
    }

    /// The publish script; gives the partitions before whose views something is missing, and an onlooker's objection.
    pub(super) fn publish(&mut self, revision: usize, publishes: &[Publish]) -> (Vec<i32>, Option<String>) {
        let mut objection = None;
        for publish in publishes {
            for view in &publish.views {
                let wrong = self.write(revision, publish.partition, view);
                objection = objection.or(wrong);
            }
        }
        let behind = publishes.iter().filter(|publish| !self.mark(revision, publish));
        (behind.map(|publish| publish.partition).collect(), objection)
    }

    fn write(&mut self, revision: usize, partition: i32, view: &SymbolView) -> Option<String> {
        let key = (revision, partition, view.symbol.clone());
        let stored = self.keys.views.get(&key).map(|stored| stored.version);
        let newer = stored.is_none_or(|stored| view.version > stored);
        if newer || self.defect == Some(Defect::OldVersionsTaken) {
            self.keys.views.insert(key, view.clone());
        }
        let truth = &self.world.truth[&(revision, partition)];
        let at_version = truth.views.get(&(view.symbol.clone(), view.version));
        (at_version != Some(view)).then(|| format!("I5: {} at {} is no function of the log", view.symbol, view.version))
    }

    /// Moves the marker where everything before the publish is there.
    fn mark(&mut self, revision: usize, publish: &Publish) -> bool {
        let place = (revision, publish.partition);
        let stored = self.keys.markers.get(&place).copied();
        let whole = publish
            .since
            .is_none_or(|since| stored.is_some_and(|stored| stored >= since));
        if whole || self.defect == Some(Defect::MarkerUnconditional) {
            self.keys
                .markers
                .insert(place, publish.marker.max(stored.unwrap_or(i64::MIN)));
        }
        whole || self.defect == Some(Defect::MarkerUnconditional)
    }

    /// Markers of a revision.
    #[must_use]
    pub(super) fn markers(&self, revision: usize) -> BTreeMap<i32, i64> {
        let own = self.keys.markers.iter().filter(|((found, _), _)| *found == revision);
        own.map(|((_, partition), marker)| (*partition, *marker)).collect()
    }

    /// The revision that readers follow.
    #[must_use]
    pub(super) fn live(&self) -> Option<usize> {
        self.keys.live
    }

    /// Points readers at a revision.
    pub(super) fn set_live(&mut self, revision: usize) {
        self.keys.live = Some(revision);
    }

    /// Saves a dump to come back to.
    pub(super) fn save(&mut self) {
        self.dump = self.keys.clone();
    }

    /// Loses everything, or everything since the last dump.
    pub(super) fn lose(&mut self, all: bool) {
        self.keys = if all { Keys::default() } else { self.dump.clone() };
    }

    /// What is missing or wrong at the end, if anything.
    #[must_use]
    pub(super) fn final_objection(&self, live: usize) -> Option<String> {
        if self.keys.live != Some(live) {
            return Some(format!("readers follow {:?}, live is {live}", self.keys.live));
        }
        self.world.truth.iter().find_map(|(&(revision, partition), truth)| {
            truth.last_views.iter().find_map(|(symbol, view)| {
                let found = self.keys.views.get(&(revision, partition, symbol.clone()));
                (found != Some(view)).then(|| {
                    let version = found.map(|found| found.version);
                    format!(
                        "projection of {symbol} in {revision}: version {version:?}, wanted {}",
                        view.version
                    )
                })
            })
        })
    }
}
