//! The subcommands of `assay`.

pub mod migrate;
