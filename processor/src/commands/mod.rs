//! The subcommands of `assay`.

pub mod migrate;
pub mod run;
