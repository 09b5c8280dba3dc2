//! The `assay` binary: wiring only.

fn main() {}
