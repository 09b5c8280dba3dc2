//! Medians and ranges as a Markdown table, with what a reader must know to compare them with others.

use std::fmt;

use anyhow::Result;

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
        Some(Spread::of(rounds, Measured::cpu_per_million).median)
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
            let cpu = Spread::of(rounds, Measured::cpu_per_million);
            let (batch, poll) = (
                self.ratio(cpu.median, "floor, batch"),
                self.ratio(cpu.median, "floor, poll"),
            );
            let rate = Spread::of(rounds, Measured::rate);
            let memory = Spread::of(rounds, |round| round.peak_mib);
            let threads = Spread::of(rounds, |round| round.threads);
            writeln!(
                f,
                "| {name} | {cpu:.3} | {batch} | {poll} | {rate:.0} | {memory:.0} | {:.0} |",
                threads.median
            )?;
        }
        Ok(())
    }
}

/// A median with its range.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(rounds: &[Measured], figure: impl Fn(&Measured) -> f64) -> Self {
        let mut values: Vec<f64> = rounds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(values.len() / 2)),
            least: at(0),
            most: at(last),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// Machine, sizes and settings.
pub(crate) fn surroundings(arguments: &Arguments, value_bytes: usize) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown CPU");
    Ok(format!(
        "{model}, {cores} cores, shared with the servers; load {} at the end\n\
         {} records of {value_bytes} B, 24 symbols, 6 partitions, slowness {}, {} rounds\n\
         mimalloc for Rust and C in all; the processor polls message by message, with one worker, default settings, a \
         snapshot every {SNAPSHOT_BYTES} B of a partition\n",
        load.join(" "),
        arguments.records,
        arguments.slowness,
        arguments.rounds,
    ))
}
