//! What pods hold: the memory of their processes as the kernel counts it, and the images as containerd counts them.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use assay_tests::measure::{Usage, count};
use serde_json::Value;

use crate::cluster::{Cluster, PROCESSORS};

/// Memory of the processes of some pods; the acting operator comes first.
pub(crate) struct Memory(Vec<Usage>);

impl Memory {
    pub(crate) fn of_processors(cluster: &Cluster) -> Result<Self> {
        of_pods(&cluster.get(&["pods", "--selector", PROCESSORS])?)
    }

    pub(crate) fn of_operators(cluster: &Cluster) -> Result<Self> {
        let get = |what: &[&str]| -> Result<Value> {
            let json = cluster.kubectl_system(&[&["get", "--output", "json"], what].concat())?;
            Ok(serde_json::from_str(&json)?)
        };
        let mut pods = get(&["pods", "--selector", "app.kubernetes.io/name=assay-operator"])?;
        let lease = get(&["lease", "assay-operator"])?;
        if let Some(pods) = pods["items"].as_array_mut() {
            pods.sort_by_key(|pod| pod["metadata"]["name"] != lease["spec"]["holderIdentity"]);
        }
        of_pods(&pods)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |usage: &Usage| format!("{:.1} ({:.1})", usage.resident_mib, usage.peak_mib);
        f.write_str(&self.0.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

/// Of each pod's one container.
fn of_pods(pods: &Value) -> Result<Memory> {
    let pods = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = pods.iter().filter_map(|pod| {
        pod["status"]["containerStatuses"][0]["containerID"]
            .as_str()?
            .strip_prefix("containerd://")
    });
    let usages: Vec<_> = ids.map(|id| Usage::of(process_of(id)?)).collect::<Result<_>>()?;
    ensure!(
        usages.len() == pods.len() && !pods.is_empty(),
        "a pod has no container: {pods:?}"
    );
    Ok(Memory(usages))
}

/// The process of this machine that runs in a container: its cgroup has the container's name.
fn process_of(container: &str) -> Result<u32> {
    let is_inside = |pid: &u32| {
        // A process that has ended meanwhile is none.
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroup| cgroup.contains(container))
    };
    let processes = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut inside = processes.filter(is_inside);
    inside
        .next()
        .with_context(|| format!("no process runs in container {container}"))
}

/// Sizes of our images, by name.
pub(crate) fn image_sizes(cluster: &Cluster) -> Result<String> {
    let node = cluster.get(&["node", "lab"])?;
    let images = node["status"]["images"].as_array().cloned().unwrap_or_default();
    let ours = images.iter().filter_map(|image| {
        let name = image["names"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .find_map(program)?;
        Some(format!(
            "{name} {:.1}",
            count(image["sizeBytes"].as_u64()?) / f64::from(1 << 20)
        ))
    });
    let mut sizes: Vec<String> = ours.collect();
    sizes.sort_unstable();
    ensure!(
        sizes.len() == 2,
        "the node does not tell two images of ours: {images:?}"
    );
    Ok(sizes.join(", "))
}

/// `assay` of `ghcr.io/assay-dev/assay:0.1.0`.
fn program(image: &str) -> Option<&str> {
    Some(image.split_once("/assay-dev/")?.1.split_once([':', '@'])?.0)
}
