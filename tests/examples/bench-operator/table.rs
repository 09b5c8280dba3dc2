//! Medians and ranges as Markdown, with what a reader must know to compare them with others.

use std::collections::BTreeMap;
use std::fmt;

use assay_tests::measure::{Spread, Usage, count};

use crate::Arguments;
use crate::counters::Counters;
use crate::estate::Sizes;

/// What one round at rest has shown.
pub(crate) struct Rest {
    /// Seconds from the operator's start until it had looked at every pipeline once.
    started_s: f64,
    usage: Usage,
    minutes: f64,
    passes: f64,
    cpu_s: f64,
    pass_s: f64,
    api: BTreeMap<String, f64>,
    kafka: BTreeMap<String, f64>,
    transactions: f64,
    /// Objects that have another version than before.
    changed: Vec<String>,
}

impl Rest {
    /// From counters before and after.
    pub(crate) fn new(started_s: f64, usage: Usage, before: &Counters, after: &Counters) -> Self {
        let is_changed = |(name, version): &(&String, &String)| before.versions.get(*name) != Some(version);
        Self {
            started_s,
            usage,
            minutes: after.at.duration_since(before.at).as_secs_f64() / 60.0,
            passes: count(after.passes - before.passes),
            cpu_s: after.usage.cpu_s - before.usage.cpu_s,
            pass_s: after.pass_s - before.pass_s,
            api: difference(&before.api, &after.api),
            kafka: difference(&before.kafka, &after.kafka),
            transactions: count(after.transactions - before.transactions),
            changed: after
                .versions
                .iter()
                .filter(is_changed)
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    fn cpu_ms_of_a_pass(&self) -> f64 {
        self.cpu_s / self.passes * 1e3
    }

    fn cores(&self) -> f64 {
        self.cpu_s / (self.minutes * 60.0)
    }
}

/// What was counted between the two; what was not is left out.
fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, f64> {
    let more =
        |(name, now): (&String, &u64)| (name.clone(), count(now - before.get(name).copied().unwrap_or_default()));
    after.iter().map(more).filter(|(_, more)| *more > 0.0).collect()
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage {
            resident_mib,
            peak_mib,
            threads,
            ..
        } = self.usage;
        write!(
            f,
            "{resident_mib:.0} MiB ({peak_mib:.0} at most), {threads} threads, {:.1} ms of CPU a pass, {:.3} cores, changed {:?}",
            self.cpu_ms_of_a_pass(),
            self.cores(),
            self.changed,
        )
    }
}

/// All rounds of one estate.
pub(crate) struct Row {
    pub(crate) sizes: Sizes,
    pub(crate) rounds: Vec<Rest>,
}

impl Row {
    fn spread(&self, figure: impl Fn(&Rest) -> f64) -> Spread {
        self.rounds.iter().map(figure).collect()
    }

    /// Calls a minute, by name.
    fn calls(&self, of: impl Fn(&Rest) -> &BTreeMap<String, f64>) -> String {
        let mut names: Vec<&String> = self.rounds.iter().flat_map(|rest| of(rest).keys()).collect();
        names.sort_unstable();
        names.dedup();
        let told = names.iter().map(|name| {
            let a_minute = self.spread(|rest| of(rest).get(*name).copied().unwrap_or_default() / rest.minutes);
            format!("{name} {:.0}", a_minute.median)
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Cells of a line of a table.
fn cells(texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |line, text| line + " " + &text + " |")
}

/// A line's name, and what it shows of an estate.
type Figure = (&'static str, Box<dyn Fn(&Row) -> String>);

/// The estates at rest, one line for each figure and one column for each estate.
pub(crate) fn rest_table(rows: &[Row]) -> String {
    let figures: [Figure; 11] = [
        (
            "resident MiB",
            Box::new(|row| format!("{:.1}", row.spread(|rest| rest.usage.resident_mib))),
        ),
        (
            "peak MiB",
            Box::new(|row| format!("{:.1}", row.spread(|rest| rest.usage.peak_mib))),
        ),
        (
            "threads",
            Box::new(|row| format!("{:.0}", row.spread(|rest| rest.usage.threads))),
        ),
        (
            "start until every pipeline was looked at, s",
            Box::new(|row| format!("{:.1}", row.spread(|rest| rest.started_s))),
        ),
        (
            "a pass with nothing to do, ms",
            Box::new(|row| format!("{:.1}", row.spread(|rest| rest.pass_s / rest.passes * 1e3))),
        ),
        (
            "its CPU, ms",
            Box::new(|row| format!("{:.2}", row.spread(Rest::cpu_ms_of_a_pass))),
        ),
        ("CPU, cores", Box::new(|row| format!("{:.3}", row.spread(Rest::cores)))),
        (
            "objects changed",
            Box::new(|row| format!("{:.0}", row.spread(|rest| count(rest.changed.len() as u64)))),
        ),
        ("API calls a minute", Box::new(|row| row.calls(|rest| &rest.api))),
        ("Kafka calls a minute", Box::new(|row| row.calls(|rest| &rest.kafka))),
        (
            "statements a minute",
            Box::new(|row| format!("{:.0}", row.spread(|rest| rest.transactions / rest.minutes))),
        ),
    ];
    let title = |row: &Row| {
        format!(
            "{} pipelines, {} credentials",
            row.sizes.pipelines, row.sizes.credentials
        )
    };
    let head = cells(rows.iter().map(title));
    let lines: Vec<String> = figures
        .iter()
        .map(|(name, show)| format!("| {name} |{}", cells(rows.iter().map(show))))
        .collect();
    format!("| |{head}\n|---|{}\n{}\n", "---|".repeat(rows.len()), lines.join("\n"))
}

/// The times until topics are ready.
pub(crate) fn topics_line(arguments: &Arguments, seconds: Spread) -> String {
    format!(
        "{} topics of {} partitions, from the first apply until every pipeline says TopicsReady: {seconds:.1} s, {} rounds\n",
        arguments.topics, arguments.partitions, arguments.rounds
    )
}
