//! What the processor costs, how it grows, how fast it recovers and how fresh its results are: `make bench`.
//!
//! Real Kafka, Postgres and Redis; logs of looped recorded trades; then rounds in which everything that is compared takes
//! its turn as a process of its own, because two figures of a shared machine compare only when they come from the same
//! minutes. CPU seconds count; rates depend on what else the machine does.

mod chart;
mod child;
mod cost;
mod floor;
mod growth;
mod lab;
mod latency;
mod log;
mod processor;
mod recovery;
mod streams;
mod table;
mod windows;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::lab::Lab;

/// Measures the processor.
#[derive(Debug, Parser)]
struct Arguments {
    /// Records in a log.
    #[arg(long, default_value_t = 3_000_000)]
    records: usize,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many times slower than recorded the trades follow each other. Fewer than 34 minutes of event time give no
    /// forecast; thinner markets close more seconds per record.
    #[arg(long, default_value_t = 2)]
    slowness: i64,
    /// One of the measurements; all where it is not given.
    #[arg(long)]
    only: Option<Measurement>,
    /// The release build of `floor` (package `assay-bench`).
    #[arg(long)]
    floor: PathBuf,
    /// The release build of `parts` (package `assay-bench`).
    #[arg(long)]
    parts: PathBuf,
    /// A release build of `assay`; give several to compare their costs.
    #[arg(long, required = true)]
    assay: Vec<PathBuf>,
    /// Folder with the classes and jars of `bench/kafka-streams`.
    #[arg(long)]
    streams: PathBuf,
    /// File for a chart of the costs.
    #[arg(long)]
    chart: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// CPU per record: floors, processor, its parts.
    Cost,
    /// The same beside Kafka Streams.
    Streams,
    /// More symbols, more partitions.
    Growth,
    /// Time from an assignment, and from a kill, to the next commit.
    Recovery,
    /// Time from producing to Redis.
    Latency,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    let lab = Lab::start()?;
    let wants = |measurement| arguments.only.is_none_or(|only| only == measurement);
    let mut found = Vec::new();
    if wants(Measurement::Cost) || wants(Measurement::Streams) {
        found.push(costs(&lab, &arguments, wants(Measurement::Streams))?);
    }
    if wants(Measurement::Growth) {
        found.push(format!("Growth\n\n{}", growth::measure_growth(&lab, &arguments)?));
    }
    if wants(Measurement::Recovery) {
        found.push(format!("Recovery\n\n{}", recovery::measure_recovery(&lab, &arguments)?));
    }
    if wants(Measurement::Latency) {
        found.push(format!("Latency\n\n{}", latency::measure_latency(&lab, &arguments)?));
    }
    let surroundings = table::surroundings(&arguments)?;
    Ok(writeln!(std::io::stdout(), "{surroundings}\n{}", found.join("\n"))?)
}

fn costs(lab: &Lab, arguments: &Arguments, with_streams: bool) -> Result<String> {
    let costs = cost::measure_costs(lab, arguments, with_streams)?;
    if let Some(file) = &arguments.chart {
        let title = "CPU seconds per million records, servers not counted; less is better";
        std::fs::write(file, chart::bars(title, &costs.table.medians(), "processor")?)?;
    }
    Ok(format!(
        "Cost, records of {} B\n\n{}\nParts alone\n\n{}",
        costs.value_bytes, costs.table, costs.parts
    ))
}
