//! What the operator costs, and how fast it is: `make bench-operator`.
//!
//! A real API server with etcd, a real Kafka, a real Postgres; the operator as it is installed, with the chart's rights and
//! the pace of an installation. Nodes are missing, so what processors would write is written here. First topics: the time
//! from the first `apply` until every topic is as stated, some times over. Then many pipelines at rest, on one credential
//! and on several: memory, and what a pass that has nothing to do costs everybody.

// The tests' own installation and lab, so that what is measured is what is tested; not all of it is needed here.
#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/operator/installation.rs"]
mod installation;
#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/operator/lab.rs"]
mod lab;

mod counters;
mod estate;
mod table;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use assay_tests::measure::{Usage, machine};
use clap::Parser;

use crate::counters::Counters;
use crate::estate::{Estate, Sizes};
use crate::lab::Lab;
use crate::table::{Rest, Row, rest_table, topics_line};

/// How often the operator's pages are looked at: rarely, because serving them costs the operator too.
const LOOK: Duration = Duration::from_secs(1);
const PASSES_LIMIT: Duration = Duration::from_mins(5);

/// Measures the operator that stands beside the program that `ASSAY_BIN` names.
#[derive(Debug, Parser)]
struct Arguments {
    /// Pipelines at rest.
    #[arg(long, default_value_t = 50)]
    pipelines: usize,
    /// Credentials in the second round at rest, each with clients and connections of its own.
    #[arg(long, default_value_t = 5)]
    credentials: usize,
    /// Topics that are created at once.
    #[arg(long, default_value_t = 25)]
    topics: usize,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 3)]
    partitions: i32,
    /// How often topics are created.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often an operator is started over the pipelines at rest and measured; each takes two minutes.
    #[arg(long, default_value_t = 1)]
    starts: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.rounds > 0 && arguments.starts > 0,
        "--rounds and --starts must be at least 1"
    );
    ensure!(arguments.credentials > 0, "--credentials must be at least 1");
    let mut lab = Lab::without_operator(
        assay_tests::Kafka::shared()?.bootstrap(),
        installation::Rights::Namespace,
    )?;
    counters::count_by_verb(&lab)?;
    start(&mut lab)?;
    let ready = topics_ready(&lab, &arguments)?;
    let mut rows = Vec::new();
    for credentials in [1, arguments.credentials] {
        rows.push(at_rest(&mut lab, &arguments, credentials)?);
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", machine()?)?;
    writeln!(out, "{}", topics_line(&arguments, ready.into_iter().collect()))?;
    Ok(writeln!(out, "{}", rest_table(&rows))?)
}

fn start(lab: &mut Lab) -> Result<()> {
    lab.operator = Some(lab.installation.start_patient(|_| ())?);
    Ok(())
}

/// Seconds from the first apply until every pipeline says that its topics are ready.
fn topics_ready(lab: &Lab, arguments: &Arguments) -> Result<Vec<f64>> {
    let measure = |round| {
        let estate = Estate::new(
            lab,
            Sizes {
                pipelines: arguments.topics,
                partitions: arguments.partitions,
                credentials: 1,
            },
        )?;
        let began = Instant::now();
        estate.apply(lab)?;
        estate.until_topics_are_ready(lab)?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "round {} of {}: {} topics ready in {seconds:.1} s",
            round + 1,
            arguments.rounds,
            arguments.topics
        );
        estate.delete(lab)?;
        Ok(seconds)
    };
    (0..arguments.rounds).map(measure).collect()
}

/// Pipelines that have nothing to do: each round looks at an operator that has just started, once it has come to rest.
fn at_rest(lab: &mut Lab, arguments: &Arguments, credentials: usize) -> Result<Row> {
    let sizes = Sizes {
        pipelines: arguments.pipelines,
        partitions: arguments.partitions,
        credentials,
    };
    let estate = Estate::new(lab, sizes)?;
    estate.apply(lab)?;
    estate.bring_to_life(lab)?;
    let mut rounds = Vec::new();
    for round in 0..arguments.starts {
        lab.kill_operator()?;
        let began = Instant::now();
        start(lab)?;
        let first = until_passes(lab, arguments.pipelines)?;
        let started_s = first.duration_since(began).as_secs_f64();
        // The second pass of each one finds everything as the first one left it; the third and fourth are measured.
        until_passes(lab, 2 * arguments.pipelines)?;
        let before = Counters::read(lab)?;
        until_passes(lab, 4 * arguments.pipelines)?;
        let after = Counters::read(lab)?;
        let usage = Usage::of(lab.operator()?.process.id())?;
        let rest = Rest::new(started_s, usage, &before, &after);
        eprintln!(
            "round {} of {}, {} credentials: {rest}",
            round + 1,
            arguments.starts,
            credentials
        );
        rounds.push(rest);
    }
    estate.delete(lab)?;
    Ok(Row { sizes, rounds })
}

/// Waits until the operator has made so many passes since its start; gives when that was seen.
fn until_passes(lab: &Lab, passes: usize) -> Result<Instant> {
    let deadline = Instant::now() + PASSES_LIMIT;
    while counters::passes(&lab.operator()?.page("/metrics")?) < passes as u64 {
        ensure!(
            Instant::now() < deadline,
            "waited {PASSES_LIMIT:?} in vain for {passes} passes"
        );
        std::thread::sleep(LOOK);
    }
    Ok(Instant::now())
}
