//! The symbols of a partition: found by name at once, walked in the order of names.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::fold_hash::FoldState;
use crate::rules::Rules;
use crate::slot::LastTrade;
use crate::symbol_state::seed_of;
use crate::symbol_state::{LiveDocument, LiveSymbol};
use crate::symbol_view::ClosedText;

/// What is left of a symbol that panicked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultedSymbol {
    /// The last trade before the panic.
    pub(crate) last: Option<LastTrade>,
    /// Offset of the record that was applied.
    pub(crate) version: i64,
}

/// A symbol that works, or one that is left out.
#[derive(Debug, Clone)]
pub(crate) enum SymbolState {
    Live(Box<LiveSymbol>),
    Faulted(FaultedSymbol),
}

/// A symbol's state as snapshots hold it.
#[derive(Serialize, Deserialize)]
pub(crate) enum SymbolDocument {
    Live(Box<LiveDocument>),
    Faulted(FaultedSymbol),
}

/// A symbol with what is remembered about its state.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    pub(crate) state: SymbolState,
    seed: u64,
    /// The digest as it went into the partition's sum.
    pub(crate) digest: u128,
    /// Whether the digest is out of date.
    pub(crate) touched: bool,
    /// The version that was handed out last as changed.
    pub(crate) shown_version: Option<i64>,
    pub(crate) closed_text: Option<ClosedText>,
}

impl Entry {
    fn new(name: &str, state: SymbolState, rules: &Rules) -> Self {
        Self {
            name: name.into(),
            state,
            seed: seed_of(rules, name, 0),
            digest: 0,
            touched: false,
            shown_version: None,
            closed_text: None,
        }
    }

    /// Offset of the last record that changed the view.
    pub(crate) fn version(&self) -> i64 {
        match &self.state {
            SymbolState::Live(live) => live.head.version,
            SymbolState::Faulted(faulted) => faulted.version,
        }
    }

    /// Whether a slot of the symbol has closed.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(&self.state, SymbolState::Live(live) if live.head.first_closed_second.is_some())
    }

    pub(crate) fn compute_digest(&mut self, scratch: &mut Vec<u8>) -> Result<u128, postcard::Error> {
        match &mut self.state {
            SymbolState::Live(live) => live.digest(self.seed, scratch),
            SymbolState::Faulted(faulted) => faulted.digest(self.seed),
        }
    }

    pub(crate) fn digest_from_scratch(&self) -> Result<u128, postcard::Error> {
        match &self.state {
            SymbolState::Live(live) => live.digest_from_scratch(self.seed),
            SymbolState::Faulted(faulted) => faulted.digest(self.seed),
        }
    }

    pub(crate) fn to_document(&self) -> SymbolDocument {
        match &self.state {
            SymbolState::Live(live) => SymbolDocument::Live(Box::new(live.to_document())),
            SymbolState::Faulted(faulted) => SymbolDocument::Faulted(faulted.clone()),
        }
    }
}

impl FaultedSymbol {
    fn digest(&self, seed: u64) -> Result<u128, postcard::Error> {
        Ok(xxhash_rust::xxh3::xxh3_128_with_seed(&postcard::to_stdvec(self)?, seed))
    }
}

/// All symbols, by number in the order of their first trade.
#[derive(Debug, Clone, Default)]
pub(crate) struct SymbolTable {
    entries: Vec<Entry>,
    numbers: HashMap<Box<str>, usize, FoldState>,
    /// Numbers in the order of names.
    by_name: Vec<usize>,
    /// Place in `by_name` by number.
    ranks: Vec<usize>,
}

impl SymbolTable {
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn entry(&self, number: usize) -> &Entry {
        &self.entries[number]
    }

    pub(crate) fn entry_mut(&mut self, number: usize) -> &mut Entry {
        &mut self.entries[number]
    }

    /// Adds a symbol that is not in the table.
    pub(crate) fn add(&mut self, name: &str, state: SymbolState, rules: &Rules) -> usize {
        let number = self.entries.len();
        self.entries.push(Entry::new(name, state, rules));
        self.numbers.insert(name.into(), number);
        let place = self.by_name.partition_point(|other| *self.entries[*other].name < *name);
        self.by_name.insert(place, number);
        self.ranks.push(place);
        for (rank, number) in self.by_name.iter().enumerate().skip(place) {
            self.ranks[*number] = rank;
        }
        number
    }

    /// Adds a symbol of a snapshot; `None` where its parts do not fit together.
    pub(crate) fn add_document(&mut self, name: &str, document: SymbolDocument, rules: &Rules) -> Option<usize> {
        let state = match document {
            SymbolDocument::Live(live) => SymbolState::Live(Box::new(LiveSymbol::from_document(*live, rules, name)?)),
            SymbolDocument::Faulted(faulted) => SymbolState::Faulted(faulted),
        };
        Some(self.add(name, state, rules))
    }

    /// Place of a symbol in the order of names.
    pub(crate) fn rank(&self, number: usize) -> usize {
        self.ranks[number]
    }

    /// Symbols in the order of names.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.iter().map(|number| &self.entries[*number])
    }

    /// Numbers in the order of names.
    pub(crate) fn numbers_in_order(&self) -> &[usize] {
        &self.by_name
    }
}
