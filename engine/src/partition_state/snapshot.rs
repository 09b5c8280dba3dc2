//! A partition's state to bytes and back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counters::CountersDocument;
use super::{PartitionState, SnapshotError};
use crate::Settings;
use crate::codec;
use crate::symbol_table::{Entry, SymbolDocument, SymbolState};
use crate::watermark::EventTime;

/// A state as snapshots hold it; symbols in the order of names, so that equal states give equal bytes.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    revision: String,
    digest: u128,
    time: EventTime,
    counters: CountersDocument,
    pub(super) symbols: Vec<(String, SymbolDocument)>,
}

impl PartitionState {
    /// The state as compressed canonical bytes.
    ///
    /// # Errors
    /// Where the codec fails.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        codec::encode(&Document {
            revision: self.rules.settings.revision.clone(),
            digest: self.digest_from_scratch().0,
            time: self.time,
            counters: self.counters.as_document(),
            symbols: self
                .symbols
                .in_order()
                .map(|entry| (entry.name.to_string(), entry.to_document()))
                .collect(),
        })
    }

    /// The state a snapshot was taken of.
    ///
    /// # Errors
    /// Truncated, corrupt or foreign bytes, another revision's, or bytes whose state has another digest than they say.
    pub fn restore(settings: Arc<Settings>, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let document: Document = codec::decode(bytes)?;
        let mut state = Self::new(settings);
        if document.revision != state.rules.settings.revision {
            return Err(SnapshotError(format!("it belongs to revision {}", document.revision)));
        }
        state.time = document.time;
        state.counters = document.counters.into();
        for (name, symbol) in document.symbols {
            state.restore_symbol(&name, symbol)?;
        }
        if state.digest().0 != document.digest || state.digest_from_scratch().0 != document.digest {
            return Err(SnapshotError(
                "the restored state has another digest; replay the log instead".into(),
            ));
        }
        state.schedule_all();
        Ok(state)
    }

    fn restore_symbol(&mut self, name: &str, document: SymbolDocument) -> Result<(), SnapshotError> {
        let rules = Arc::clone(&self.rules);
        let number = self
            .symbols
            .add_document(name, document, &rules)
            .ok_or_else(|| SnapshotError(format!("the parts of symbol {name} do not fit together")))?;
        self.watched_symbols += u64::from(self.symbols.entry(number).is_watched());
        self.touch(number);
        Ok(())
    }

    /// Comes after the digest is known to be right: times of another state may lie beyond what can be computed.
    fn schedule_all(&mut self) {
        for number in self.symbols.numbers_in_order() {
            self.schedule
                .set(*number, due_of(self.symbols.entry(*number), &self.rules));
        }
    }
}

fn due_of(entry: &Entry, rules: &crate::rules::Rules) -> Option<i64> {
    match &entry.state {
        SymbolState::Live(live) => live.next_due_us(rules),
        SymbolState::Faulted(_) => None,
    }
}
