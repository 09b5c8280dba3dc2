//! The Kafka Streams program of `bench/kafka-streams` as a child: several passes over the log in one JVM.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use assay_tests::Process;
use assay_tests::scratch::unique;

use crate::child::{Measured, measure};
use crate::lab::Lab;
use crate::log::Log;
use crate::windows::{Windows, of_topic};

/// The last pass counts as warm: by then the JVM has compiled what is hot.
const PASSES: u32 = 3;
/// A fixed heap, and the collector that needs least CPU on two cores.
const JVM: [&str; 3] = ["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"];

/// What Kafka Streams promises about its state and its results.
pub(crate) const GUARANTEES: [(&str, &str); 2] = [
    ("exactly_once_v2", "Kafka Streams, exactly once"),
    ("at_least_once", "Kafka Streams, at least once"),
];

/// One child's passes.
pub(crate) struct Passes {
    /// From the start of the JVM to the end of its first pass.
    pub(crate) first: Measured,
    /// The last pass alone.
    pub(crate) last: Measured,
    /// What the last pass published.
    pub(crate) windows: Windows,
}

/// Reads the log several times, each time as an application of its own without any state.
pub(crate) fn measure_streams(lab: &Lab, folder: &Path, log: &Log, guarantee: &str) -> Result<Passes> {
    let application = unique("streams");
    let mut command = Command::new("java");
    command.args(JVM).arg("-cp");
    command.arg(format!("{0}/classes:{0}/lib/*", folder.display()));
    command.args(["dev.assay.bench.Benchmark", &lab.kafka.bootstrap(), &log.topic]);
    command.args([&log.records.to_string(), guarantee, &application]);
    command
        .arg(lab.scratch.path().join(&application))
        .arg(PASSES.to_string());
    let mut child = Process::spawn("Kafka Streams", command, &lab.fresh_log("streams")?)?;
    let first = measure(&mut child, log.records, "", |child| has_ended(child, 1))?;
    let last = measure(&mut child, log.records, &format!("pass {PASSES} begins"), |child| {
        has_ended(child, PASSES)
    })?;
    let windows = of_topic(lab, &format!("{application}-{PASSES}-latest"), log.shape.partitions)?;
    Ok(Passes { first, last, windows })
}

fn has_ended(child: &Process, pass: u32) -> Result<bool> {
    Ok(child.log()?.contains(&format!("pass {pass} ends")))
}
