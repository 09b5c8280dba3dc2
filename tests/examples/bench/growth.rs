//! What more partitions and more symbols cost: the same trades at the same times, dealt to more of them.

use anyhow::Result;

use crate::Arguments;
use crate::lab::Lab;
use crate::log::{Log, Shape};
use crate::processor::measure_processor;
use crate::table::Table;

/// More symbols on six partitions, and more partitions for 96 symbols.
const SHAPES: [Shape; 6] = [
    Shape {
        symbols: 3,
        partitions: 6,
    },
    Shape::USUAL,
    Shape {
        symbols: 2_000,
        partitions: 6,
    },
    Shape {
        symbols: 96,
        partitions: 6,
    },
    Shape {
        symbols: 96,
        partitions: 24,
    },
    Shape {
        symbols: 96,
        partitions: 96,
    },
];

/// One log of each shape, read in turn.
pub(crate) fn measure_growth(lab: &Lab, arguments: &Arguments) -> Result<Table> {
    let fill = |shape| Log::fill(&lab.kafka, shape, arguments.records, arguments.slowness);
    let logs: Vec<Log> = SHAPES.into_iter().map(fill).collect::<Result<_>>()?;
    let mut table = Table::beside(&[
        ("× 24 symbols", "24 symbols, 6 partitions"),
        ("× 96 symbols on 6 partitions", "96 symbols, 6 partitions"),
    ]);
    for round in 0..arguments.rounds {
        for number in 0..logs.len() {
            let log = &logs[(number + round) % logs.len()];
            let name = format!("{} symbols, {} partitions", log.shape.symbols, log.shape.partitions);
            table.add(&name, measure_processor(lab, &arguments.assay[0], log)?);
        }
    }
    Ok(table)
}
