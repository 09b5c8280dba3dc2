//! CPU per record of everything that reads the same log: floors, the processor and its parts, and Kafka Streams.

use std::path::Path;

use anyhow::Result;

use crate::Arguments;
use crate::floor::{measure_floor, measure_parts};
use crate::lab::Lab;
use crate::log::{Log, Shape};
use crate::processor::measure_processor;
use crate::streams::{GUARANTEES, measure_streams};
use crate::table::{Figures, Table};
use crate::windows::{Windows, ensure_same, of_redis};

const PROCESSOR: &str = "processor";

/// What is measured in a round.
enum Subject<'a> {
    Floor(&'static str),
    Processor(&'a Path),
    Parts,
    Streams(&'static str, &'a Path),
}

/// All rounds.
pub(crate) struct Costs {
    pub(crate) table: Table,
    pub(crate) parts: Figures,
    /// Mean length of a value.
    pub(crate) value_bytes: usize,
}

/// Rounds in which all subjects take turns, each time in another order: what runs first meets a machine in another state.
pub(crate) fn measure_costs(lab: &Lab, arguments: &Arguments, with_streams: bool) -> Result<Costs> {
    let log = Log::fill(&lab.kafka, Shape::USUAL, arguments.records, arguments.slowness)?;
    let mut costs = Costs {
        table: Table::beside(&[("× batch floor", "floor, batch"), ("× processor", PROCESSOR)]),
        parts: Figures::new("CPU-s/M", 3),
        value_bytes: log.value_bytes,
    };
    for round in 0..arguments.rounds {
        let mut subjects = subjects(arguments, with_streams);
        let shift = round % subjects.len();
        subjects.rotate_left(shift);
        let mut windows = Vec::new();
        for (name, subject) in subjects {
            windows.extend(costs.measure(lab, arguments, &log, (&name, subject))?);
        }
        if let [(_, wanted), others @ ..] = &windows[..] {
            for (name, found) in others {
                ensure_same(name, found, wanted)?;
            }
        }
        eprintln!("round {} of {} done", round + 1, arguments.rounds);
    }
    Ok(costs)
}

fn subjects(arguments: &Arguments, with_streams: bool) -> Vec<(String, Subject<'_>)> {
    let floors = ["poll", "batch"].map(|call| (format!("floor, {call}"), Subject::Floor(call)));
    let builds = arguments.assay.iter().enumerate().map(|(number, path)| {
        let name = if number == 0 {
            PROCESSOR.to_owned()
        } else {
            format!("{PROCESSOR} {}", number + 1)
        };
        (name, Subject::Processor(path))
    });
    let guarantees = GUARANTEES.into_iter().filter(|_| with_streams);
    let streams =
        guarantees.map(|(guarantee, name)| (name.to_owned(), Subject::Streams(guarantee, &arguments.streams)));
    let parts = [("parts".to_owned(), Subject::Parts)];
    floors.into_iter().chain(builds).chain(parts).chain(streams).collect()
}

impl Costs {
    /// Gives the windows of a subject that has any.
    fn measure(
        &mut self,
        lab: &Lab,
        arguments: &Arguments,
        log: &Log,
        (name, subject): (&str, Subject<'_>),
    ) -> Result<Option<(String, Windows)>> {
        match subject {
            Subject::Floor(call) => {
                self.table.add(name, measure_floor(lab, &arguments.floor, call, log)?);
                Ok(None)
            }
            Subject::Parts => {
                for part in measure_parts(lab, &arguments.parts, log)? {
                    self.parts.add(&part.name, part.cpu_per_million);
                }
                Ok(None)
            }
            Subject::Processor(path) => {
                self.table.add(name, measure_processor(lab, path, log)?);
                Ok(Some((name.to_owned(), of_redis(lab)?)))
            }
            Subject::Streams(guarantee, folder) => {
                let passes = measure_streams(lab, folder, log, guarantee)?;
                self.table.add(&format!("{name}, cold"), passes.first);
                self.table.add(&format!("{name}, warm"), passes.last);
                Ok(Some((name.to_owned(), passes.windows)))
            }
        }
    }
}
