//! Medians and ranges as a Markdown table, with what a reader must know to compare them with others.

use std::fmt;

use anyhow::Result;
use assay_tests::measure::{Spread, machine};

use crate::Arguments;
use crate::child::Measured;
use crate::lab::SNAPSHOT_BYTES;

/// All rounds of all subjects, in the order of their first appearance.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, Vec<Measured>)>);

impl Table {
    /// Adds one round of a subject.
    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, rounds)) => rounds.push(measured),
            None => self.0.push((name.to_owned(), vec![measured])),
        }
    }

    fn cpu_of(&self, name: &str) -> Option<f64> {
        let (_, rounds) = self.0.iter().find(|(known, _)| known == name)?;
        Some(spread(rounds, Measured::cpu_per_million).median)
    }

    fn ratio(&self, cpu: f64, floor: &str) -> String {
        self.cpu_of(floor)
            .map_or_else(String::new, |floor| format!("{:.2}", cpu / floor))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | CPU-s/M | × batch floor | × poll floor | k records/s | peak MiB | threads |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for (name, rounds) in &self.0 {
            let cpu = spread(rounds, Measured::cpu_per_million);
            let (batch, poll) = (
                self.ratio(cpu.median, "floor, batch"),
                self.ratio(cpu.median, "floor, poll"),
            );
            let rate = spread(rounds, Measured::rate);
            let memory = spread(rounds, |round| round.peak_mib);
            let threads = spread(rounds, |round| round.threads);
            writeln!(
                f,
                "| {name} | {cpu:.3} | {batch} | {poll} | {rate:.0} | {memory:.0} | {:.0} |",
                threads.median
            )?;
        }
        Ok(())
    }
}

fn spread(rounds: &[Measured], figure: impl Fn(&Measured) -> f64) -> Spread {
    rounds.iter().map(figure).collect()
}

/// Machine, sizes and settings.
pub(crate) fn surroundings(arguments: &Arguments, value_bytes: usize) -> Result<String> {
    Ok(format!(
        "{}\n\
         {} records of {value_bytes} B, 24 symbols, 6 partitions, slowness {}, {} rounds\n\
         mimalloc for Rust and C in all; the processor polls message by message, with one worker, default settings, a \
         snapshot every {SNAPSHOT_BYTES} B of a partition\n",
        machine()?,
        arguments.records,
        arguments.slowness,
        arguments.rounds,
    ))
}
