//! The subcommands of `assay`.

pub mod feed;
pub mod migrate;
pub mod run;
