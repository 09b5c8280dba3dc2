//! The projection inside the process: for backtests, the demo and tests. Same rules as in Redis, nothing survives.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_engine::SymbolView;
use async_trait::async_trait;

use super::{LatestError, LatestState, Publish, hash_of, lines};

/// Latest state in ordered maps.
#[derive(Debug, Default)]
pub struct MemoryLatest {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    live: Option<String>,
    revisions: BTreeMap<String, Revision>,
}

#[derive(Debug, Default)]
struct Revision {
    symbols: BTreeMap<String, SymbolView>,
    markers: BTreeMap<i32, i64>,
}

impl MemoryLatest {
    /// Forgets everything, as `FLUSHALL` does.
    pub fn clear(&self) {
        *self.contents() = Contents::default();
    }

    /// The view of a symbol.
    #[must_use]
    pub fn view(&self, revision: &str, symbol: &str) -> Option<SymbolView> {
        self.contents().revisions.get(revision)?.symbols.get(symbol).cloned()
    }

    /// A poisoned map is whole: no code panics between two of its writes.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Revision {
    /// Whether the marker may stand where the publish says.
    fn write(&mut self, publish: &Publish) -> bool {
        for view in &publish.views {
            let stored = self.symbols.get(&view.symbol).map(|stored| stored.version);
            if stored.is_none_or(|stored| view.version > stored) {
                self.symbols.insert(view.symbol.clone(), view.clone());
            }
        }
        let stored = self.markers.get(&publish.partition).copied();
        let whole = publish
            .since
            .is_none_or(|since| stored.is_some_and(|stored| stored >= since));
        if whole {
            self.markers.insert(
                publish.partition,
                stored.map_or(publish.marker, |stored| stored.max(publish.marker)),
            );
        }
        whole
    }
}

#[async_trait]
impl LatestState for MemoryLatest {
    async fn publish(&self, revision: &str, publishes: &[Publish]) -> Result<Vec<i32>, LatestError> {
        if publishes.is_empty() {
            return Ok(Vec::new());
        }
        let mut contents = self.contents();
        let target = contents.revisions.entry(revision.to_owned()).or_default();
        let mut behind = Vec::new();
        for publish in publishes {
            if !target.write(publish) {
                behind.push(publish.partition);
            }
        }
        Ok(behind)
    }

    async fn markers(&self, revision: &str) -> Result<BTreeMap<i32, i64>, LatestError> {
        Ok(self
            .contents()
            .revisions
            .get(revision)
            .map(|found| found.markers.clone())
            .unwrap_or_default())
    }

    async fn live(&self) -> Result<Option<String>, LatestError> {
        Ok(self.contents().live.clone())
    }

    async fn set_live(&self, revision: &str) -> Result<(), LatestError> {
        self.contents().live = Some(revision.to_owned());
        Ok(())
    }

    async fn retire(&self, revision: &str) -> Result<(), LatestError> {
        self.contents().revisions.remove(revision);
        Ok(())
    }

    async fn check(&self) -> Result<(), LatestError> {
        Ok(())
    }

    async fn dump(&self, revision: &str) -> Result<String, LatestError> {
        let contents = self.contents();
        let Some(found) = contents.revisions.get(revision) else {
            return Ok(String::new());
        };
        let symbols = found
            .symbols
            .values()
            .map(|view| (view.symbol.clone(), hash_of(view).into_iter().collect()));
        let markers = found
            .markers
            .iter()
            .map(|(partition, marker)| (partition.to_string(), marker.to_string()));
        let mut keys: BTreeMap<String, BTreeMap<String, String>> = symbols.collect();
        keys.insert("markers".to_owned(), markers.collect());
        Ok(lines(&keys))
    }
}
