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
    fn write(&mut self, publish: &Publish) {
        for view in &publish.views {
            let stored = self.symbols.get(&view.symbol).map(|stored| stored.version);
            if stored.is_none_or(|stored| view.version > stored) {
                self.symbols.insert(view.symbol.clone(), view.clone());
            }
        }
        let marker = self.markers.entry(publish.partition).or_insert(publish.marker);
        *marker = publish.marker.max(*marker);
    }
}

#[async_trait]
impl LatestState for MemoryLatest {
    async fn publish(&self, revision: &str, publishes: &[Publish]) -> Result<(), LatestError> {
        let mut contents = self.contents();
        let target = contents.revisions.entry(revision.to_owned()).or_default();
        publishes.iter().for_each(|publish| target.write(publish));
        Ok(())
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
