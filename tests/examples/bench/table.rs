//! Medians and ranges as Markdown tables, with what a reader must know to compare them with others.

use std::fmt;

use anyhow::Result;
use assay_tests::measure::{Spread, machine};

use crate::Arguments;
use crate::child::Measured;

/// All rounds of all children, in the order of their first appearance.
#[derive(Debug)]
pub(crate) struct Table {
    /// Heads of columns, each with the row that the others are divided by.
    beside: Vec<(&'static str, &'static str)>,
    rows: Vec<(String, Vec<Measured>)>,
}

impl Table {
    /// An empty table with a column of ratios for each pair of head and row.
    pub(crate) fn beside(beside: &[(&'static str, &'static str)]) -> Self {
        Self {
            beside: beside.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds one round of a child.
    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        eprintln!("{name}: {measured}");
        add(&mut self.rows, name, measured);
    }

    /// CPU seconds per million records of every row.
    pub(crate) fn medians(&self) -> Vec<(&str, f64)> {
        let median = |rounds: &[Measured]| spread(rounds, Measured::cpu_per_million).median;
        self.rows
            .iter()
            .map(|(name, rounds)| (&name[..], median(rounds)))
            .collect()
    }

    fn ratio(&self, cpu: f64, beside: &str) -> String {
        let medians = self.medians();
        let reference = medians.iter().find(|(name, _)| *name == beside);
        reference.map_or_else(String::new, |(_, reference)| format!("{:.2}", cpu / reference))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self
            .beside
            .iter()
            .fold(String::new(), |line, (head, _)| line + " " + head + " |");
        writeln!(f, "| | CPU-s/M |{heads} k records/s | peak MiB | threads |")?;
        writeln!(f, "|---|---|{}---|---|---|", "---|".repeat(self.beside.len()))?;
        for (name, rounds) in &self.rows {
            let cpu = spread(rounds, Measured::cpu_per_million);
            let ratio = |(_, beside): &(_, &str)| format!(" {} |", self.ratio(cpu.median, beside));
            let ratios = self.beside.iter().map(ratio).collect::<Vec<_>>().concat();
            let rate = spread(rounds, Measured::rate);
            let memory = spread(rounds, |round| round.peak_mib);
            let threads = spread(rounds, |round| round.threads).median;
            writeln!(
                f,
                "| {name} | {cpu:.3} |{ratios} {rate:.0} | {memory:.0} | {threads:.0} |"
            )?;
        }
        Ok(())
    }
}

/// Single figures by name, in the order of their first appearance.
#[derive(Debug)]
pub(crate) struct Figures {
    head: &'static str,
    digits: usize,
    rows: Vec<(String, Vec<f64>)>,
}

impl Figures {
    /// An empty table whose one column has this head, and figures so many digits behind the point.
    pub(crate) fn new(head: &'static str, digits: usize) -> Self {
        Self {
            head,
            digits,
            rows: Vec::new(),
        }
    }

    /// Adds one round's figure.
    pub(crate) fn add(&mut self, name: &str, figure: f64) {
        add(&mut self.rows, name, figure);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits;
        writeln!(f, "| | {} |\n|---|---|", self.head)?;
        for (name, rounds) in &self.rows {
            let spread: Spread = rounds.iter().copied().collect();
            writeln!(f, "| {name} | {spread:.digits$} |")?;
        }
        Ok(())
    }
}

fn add<T>(rows: &mut Vec<(String, Vec<T>)>, name: &str, round: T) {
    match rows.iter_mut().find(|(known, _)| known == name) {
        Some((_, rounds)) => rounds.push(round),
        None => rows.push((name.to_owned(), vec![round])),
    }
}

fn spread(rounds: &[Measured], figure: impl Fn(&Measured) -> f64) -> Spread {
    rounds.iter().map(figure).collect()
}

/// Machine, sizes and settings.
pub(crate) fn surroundings(arguments: &Arguments) -> Result<String> {
    Ok(format!(
        "{}\n\
         {} records, slowness {}, {} rounds; 24 symbols on 6 partitions where nothing else is said\n\
         mimalloc for Rust and C; the processor with one worker and default settings where nothing else is said\n",
        machine()?,
        arguments.records,
        arguments.slowness,
        arguments.rounds,
    ))
}
