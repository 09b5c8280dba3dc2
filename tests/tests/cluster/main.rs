//! The whole product on a real cluster, under a load that goes on while pods, nodes, networks and credentials fail or change:
//! afterwards rows and values are those of a backtest of the same trades, and nothing is left wedged.
//!
//! Needs root, `unshare` and a machine without another Kubernetes: `make cluster-test`.

mod chart;
mod cluster;
mod faults;
mod load;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use assay_tests::wait;

use cluster::Cluster;
use faults::FAULTS;
use load::Load;

/// Processors of the sample pipeline.
const REPLICAS: u64 = 2;
const CATCH_UP_LIMIT: Duration = Duration::from_mins(3);
const DELETION_LIMIT: Duration = Duration::from_mins(2);

#[test]
fn results_survive_what_a_cluster_does_to_its_pods() -> Result<()> {
    let cluster = Cluster::install()?;
    cluster.wait_until_settled(REPLICAS)?;
    let load = Load::start(cluster.variable("ASSAY_BROKERS")?)?;
    for fault in FAULTS {
        let started = Instant::now();
        (fault.provoke)(&cluster).context(fault.name)?;
        cluster.wait_until_settled(REPLICAS).context(fault.name)?;
        eprintln!("{}: settled after {:.1} s", fault.name, started.elapsed().as_secs_f64());
    }
    chart::live_through_releases(&cluster)?;
    load.finish(|trades| {
        wait_until_committed(&cluster, trades)?;
        cluster.ensure_results_of(trades)
    })?;
    ensure_namespace_goes(&cluster)
}

fn wait_until_committed(cluster: &Cluster, trades: &[PathBuf]) -> Result<()> {
    let texts = trades
        .iter()
        .map(std::fs::read_to_string)
        .collect::<Result<Vec<_>, _>>()?;
    let wanted = texts.iter().map(|text| text.lines().count()).sum::<usize>().to_string();
    wait::until(CATCH_UP_LIMIT, &format!("the commit of {wanted} trades"), || {
        let committed = cluster.sql("SELECT sum(next_offset - start_offset) FROM assay.progress")?;
        Ok((committed == wanted).then_some(()))
    })
}

/// A namespace takes its pipeline with it: the operator lets go of it, no pod is left, the results are kept.
fn ensure_namespace_goes(cluster: &Cluster) -> Result<()> {
    let forecasts = "SELECT count(*) FROM assay.forecasts";
    let before = cluster.sql(forecasts)?;
    cluster.kubectl(&["delete", "namespace", "trading", "--wait=false"])?;
    wait::until(DELETION_LIMIT, "the end of the namespace", || {
        Ok((!cluster
            .run("kubectl", &["get", "namespace", "trading"])?
            .status
            .success())
        .then_some(()))
    })?;
    ensure!(cluster.sql(forecasts)? == before, "results went with the namespace");
    Ok(())
}
