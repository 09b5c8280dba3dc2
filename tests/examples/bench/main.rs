//! What the processor costs beside a consumer that does nothing: `make bench`.
//!
//! Real Kafka, Postgres and Redis; one log of looped recorded trades; then rounds in which the floors and the processor
//! read that log in turn, each as a process of its own, because two figures of a shared machine compare only when they
//! come from the same minutes. CPU seconds count; rates depend on what else the machine does.

mod child;
mod lab;
mod log;
mod table;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::child::Measured;
use crate::lab::Lab;
use crate::table::Table;

/// Measures the processor beside the floors.
#[derive(Debug, Parser)]
struct Arguments {
    /// Records in the log.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many times slower than recorded the trades follow each other. Fewer than 34 minutes of event time give no
    /// forecast; thinner markets close more seconds per record.
    #[arg(long, default_value_t = 2)]
    slowness: i64,
    /// The release build of `floor` (package `assay-bench`).
    #[arg(long)]
    floor: PathBuf,
    /// A release build of `assay`; give several to compare them.
    #[arg(long, required = true)]
    assay: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    let lab = Lab::start(arguments.records, arguments.slowness)?;
    let mut table = Table::default();
    for round in 0..arguments.rounds {
        for (name, measured) in measure_all(&lab, &arguments, round)? {
            table.add(&name, measured);
        }
    }
    let surroundings = table::surroundings(&arguments, lab.value_bytes())?;
    Ok(writeln!(std::io::stdout(), "{surroundings}\n{table}")?)
}

/// Everything once, in another order each round: what runs first meets a machine in another state.
fn measure_all(lab: &Lab, arguments: &Arguments, round: usize) -> Result<Vec<(String, Measured)>> {
    let floors = ["poll", "batch"].map(|call| (format!("floor, {call}"), Subject::Floor(call)));
    let builds = arguments.assay.iter().enumerate().map(|(number, path)| {
        let name = if number == 0 {
            "processor".to_owned()
        } else {
            format!("processor {}", number + 1)
        };
        (name, Subject::Processor(path))
    });
    let mut subjects: Vec<_> = floors.into_iter().chain(builds).collect();
    let shift = round % subjects.len();
    subjects.rotate_left(shift);
    let measure = |(name, subject): (String, Subject<'_>)| {
        let measured = match subject {
            Subject::Floor(call) => lab.measure_floor(&arguments.floor, call)?,
            Subject::Processor(path) => lab.measure_processor(path)?,
        };
        eprintln!("round {} of {}: {name}: {measured}", round + 1, arguments.rounds);
        Ok((name, measured))
    };
    subjects.into_iter().map(measure).collect()
}

enum Subject<'a> {
    Floor(&'static str),
    Processor(&'a PathBuf),
}
