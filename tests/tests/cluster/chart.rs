//! The chart over its life: upgraded, rolled back, uninstalled and installed again, while trades come in.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use assay_tests::scratch::Scratch;
use assay_tests::wait;
use serde_json::Value;

use crate::REPLICAS;
use crate::cluster::{Cluster, PROCESSORS};

/// Hooks, a lease that changes hands and two rolling updates.
const LIMIT: Duration = Duration::from_mins(2);
const PROCESSOR_IMAGE: &str = "ghcr.io/assay-dev/assay";
/// The tag that the upgrade moves to; the same program, because another release is not at hand.
const NEXT_TAG: &str = "next";

/// Upgrades to another image, goes back, uninstalls and installs again; tells how long each took.
pub(crate) fn live_through_releases(cluster: &Cluster) -> Result<()> {
    type Change = fn(&Cluster) -> Result<()>;
    let changes: [(&str, Change); 3] = [
        ("the chart is upgraded", upgrade),
        ("the upgrade is rolled back", roll_back),
        ("the chart is uninstalled and installed again", install_again),
    ];
    for (name, change) in changes {
        let started = Instant::now();
        change(cluster).context(name)?;
        cluster.kubectl_system(&["rollout", "status", "deployment/assay", "--timeout=2m"])?;
        cluster.wait_until_settled(REPLICAS).context(name)?;
        eprintln!("{name}: settled after {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn chart() -> Result<String> {
    let chart = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/assay"));
    Ok(chart.to_str().context("a path of UTF-8")?.to_owned())
}

fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let in_namespace = ["--namespace", "assay-system"];
    cluster.output("helm", &[arguments, &in_namespace].concat())
}

fn upgrade(cluster: &Cluster) -> Result<()> {
    let current = processor_image(cluster)?;
    let socket = cluster.folder()?.join("var/run/containerd.sock");
    let socket = socket.to_str().context("a path of UTF-8")?;
    let next = format!("{PROCESSOR_IMAGE}:{NEXT_TAG}");
    let tag = ["--address", socket, "--namespace", "k8s.io", "images", "tag"];
    cluster.output("ctr", &[&tag[..], &["--force", &current, &next]].concat())?;
    let tag = format!("processor.image.tag={NEXT_TAG}");
    let set = ["--reuse-values", "--set", &tag, "--set", "operator.logLevel=debug"];
    let chart = chart()?;
    let upgrade = [&["upgrade", "assay", &chart], &set[..]].concat();
    ensure_replaced_in_turn(cluster, || helm(cluster, &upgrade).map(drop))?;
    let image = processor_image(cluster)?;
    ensure!(image == next, "the processors run {image}");
    Ok(())
}

fn roll_back(cluster: &Cluster) -> Result<()> {
    ensure_replaced_in_turn(cluster, || helm(cluster, &["rollback", "assay"]).map(drop))?;
    let image = processor_image(cluster)?;
    ensure!(!image.ends_with(NEXT_TAG), "the processors run {image}");
    Ok(())
}

/// Without the operator definitions, pipeline, processors and results stay, and work goes on; a new installation takes
/// them over.
fn install_again(cluster: &Cluster) -> Result<()> {
    let scratch = Scratch::new("chart")?;
    let values = scratch.path().join("values.json");
    std::fs::write(&values, helm(cluster, &["get", "values", "assay", "--output", "json"])?)?;
    let (processors, forecasts) = (cluster.processors()?, forecasts(cluster)?);
    helm(cluster, &["uninstall", "assay", "--wait"])?;
    wait::until(LIMIT, "the end of the finalizer", || {
        Ok(finalizers(cluster)?.is_empty().then_some(()))
    })?;
    cluster.output(
        "kubectl",
        &["get", "customresourcedefinition", "strategypipelines.assay.dev"],
    )?;
    ensure!(
        cluster.processors()? == processors,
        "the uninstall changed the processors"
    );
    ensure!(self::forecasts(cluster)? >= forecasts, "results went with the chart");
    ensure_work_goes_on(cluster)?;
    let values = values.to_str().context("a path of UTF-8")?;
    helm(cluster, &["install", "assay", &chart()?, "--values", values, "--wait"])?;
    wait::until(LIMIT, "the finalizer of the new operator", || {
        Ok((!finalizers(cluster)?.is_empty()).then_some(()))
    })?;
    ensure!(
        cluster.processors()? == processors,
        "the installation changed the processors"
    );
    Ok(())
}

fn ensure_work_goes_on(cluster: &Cluster) -> Result<()> {
    let before = committed(cluster)?;
    wait::until(LIMIT, "a commit without an operator", || {
        Ok((committed(cluster)? > before).then_some(()))
    })
}

/// Every processor is another one afterwards, and one was ready at any time.
fn ensure_replaced_in_turn(cluster: &Cluster, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = cluster.processors()?;
    act()?;
    let mut fewest = REPLICAS;
    wait::until(LIMIT, "processors of the other release", || {
        fewest = fewest.min(ready_processors(cluster)?);
        let now = cluster.processors()?;
        Ok(now.iter().all(|pod| !before.contains(pod)).then_some(()))
    })?;
    ensure!(fewest > 0, "no processor was ready during the rollout");
    Ok(())
}

fn ready_processors(cluster: &Cluster) -> Result<u64> {
    let pods = cluster.get(&["pods", "--selector", PROCESSORS])?;
    let is_ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    Ok(pods.iter().filter(is_ready).count() as u64)
}

fn processor_image(cluster: &Cluster) -> Result<String> {
    let deployment = cluster.deployment()?;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    Ok(image.as_str().context("a container without an image")?.to_owned())
}

fn finalizers(cluster: &Cluster) -> Result<Vec<Value>> {
    let pipeline = cluster.get(&["strategypipeline", "demo"])?;
    Ok(pipeline["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default())
}

fn forecasts(cluster: &Cluster) -> Result<u64> {
    Ok(cluster.sql("SELECT count(*) FROM assay.forecasts")?.parse()?)
}

fn committed(cluster: &Cluster) -> Result<u64> {
    Ok(cluster
        .sql("SELECT sum(next_offset - start_offset) FROM assay.progress")?
        .parse()?)
}
