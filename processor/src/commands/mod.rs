//! The subcommands of `assay`.

pub mod backtest;
pub mod demo;
pub mod feed;
pub mod migrate;
pub mod run;
