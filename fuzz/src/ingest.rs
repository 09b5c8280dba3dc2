//! The decoder's part of the processor's `ingest`.

#[path = "../../processor/src/ingest/decode.rs"]
pub mod decode;
#[path = "../../processor/src/ingest/encode.rs"]
pub mod encode;
#[path = "../../processor/src/ingest/fields.rs"]
pub mod fields;
#[path = "../../processor/src/ingest/scanner.rs"]
mod scanner;

use assay_engine::Record;

/// What the decoder's fast path reads; `None` where it leaves the value to the full decoder.
#[must_use]
pub fn scan(value: &[u8]) -> Option<Record<'_>> {
    scanner::scan(value)
}
