//! The consumers that do nothing, and the processor's parts without a consumer.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use assay_tests::Process;
use assay_tests::measure::count;

use crate::child::{FETCHING, Measured, measure};
use crate::lab::Lab;
use crate::log::Log;
use crate::processor::manifest_file;

/// A consumer that does nothing.
pub(crate) fn measure_floor(lab: &Lab, program: &Path, call: &str, log: &Log) -> Result<Measured> {
    let mut command = Command::new(program);
    command.args([call, &log.topic]);
    command.args([log.shape.partitions.to_string(), log.records.to_string()]);
    command.args(lab.client_settings()?);
    let mut child = Process::spawn("the floor", command, &lab.fresh_log("floor")?)?;
    measure(&mut child, log.records, FETCHING, |child| {
        Ok(child.log()?.lines().any(|line| line == "end"))
    })
}

/// CPU seconds per million records of a part of the processor, alone.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) cpu_per_million: f64,
}

/// Decoding and stepping the log's records from memory.
pub(crate) fn measure_parts(lab: &Lab, program: &Path, log: &Log) -> Result<Vec<Part>> {
    let mut command = Command::new(program);
    command.arg(manifest_file(lab, log)?).arg(&log.topic);
    command.args([log.shape.partitions.to_string(), log.records.to_string()]);
    command.args(lab.client_settings()?);
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "the parts failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout)?;
    let parts = printed.lines().filter_map(|line| line.split_once(' '));
    parts
        .map(|(name, seconds)| {
            Ok(Part {
                name: name.to_owned(),
                cpu_per_million: seconds.parse::<f64>()? / count(log.records as u64) * 1e6,
            })
        })
        .collect()
}
