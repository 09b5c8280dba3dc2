//! Runs by hand what a node would run: the processors of the built Deployments, with their command, environment and mounts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use assay_tests::processor::Processor;
use assay_tests::scratch::Scratch;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PodSpec, Secret, Volume};
use kube::ResourceExt as _;
use nix::sys::signal::Signal;

use crate::lab::{LIMIT, Lab};

/// Pods by the name of their Deployment.
#[derive(Default)]
pub struct Pods {
    running: BTreeMap<String, Vec<Pod>>,
}

struct Pod {
    processor: Processor,
    /// Its file system, gone with it.
    _root: Scratch,
}

impl Pods {
    /// Starts and stops processes until each Deployment has the replicas it asks for.
    pub fn follow(&mut self, lab: &Lab) -> Result<()> {
        let deployments = lab.deployments()?;
        let wanted: BTreeMap<String, &Deployment> = deployments.iter().map(|d| (d.name_any(), d)).collect();
        for (name, pods) in &mut self.running {
            let replicas = wanted.get(name).map_or(0, |deployment| replicas(deployment));
            while pods.len() > replicas {
                pods.pop().map(stop).transpose()?;
            }
            for pod in pods {
                pod.processor.process().ensure_running()?;
            }
        }
        for (name, deployment) in wanted {
            let pods = self.running.entry(name.clone()).or_default();
            while pods.len() < replicas(deployment) {
                pods.push(start(lab, &name, deployment)?);
            }
        }
        Ok(())
    }

    /// Ends all of them in order.
    pub fn stop(self) -> Result<()> {
        self.running.into_values().flatten().try_for_each(stop)
    }
}

fn replicas(deployment: &Deployment) -> usize {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    usize::try_from(replicas.unwrap_or(1)).unwrap_or_default()
}

fn stop(mut pod: Pod) -> Result<()> {
    pod.processor.process().signal(Signal::SIGTERM);
    let status = pod.processor.process().wait(LIMIT)?;
    ensure!(status.success(), "a processor ended with {status}");
    Ok(())
}

fn start(lab: &Lab, name: &str, deployment: &Deployment) -> Result<Pod> {
    let template = deployment.spec.as_ref().context("a spec")?.template.spec.as_ref();
    let pod = template.context("a pod")?;
    let root = Scratch::new("pod")?;
    for volume in pod.volumes.iter().flatten() {
        mount(lab, pod, volume, root.path())?;
    }
    let container = pod.containers.first().context("a container")?;
    let configure = |command: &mut Command, admin: u16| {
        command.args(container.args.iter().flatten());
        for variable in container.env.iter().flatten() {
            command.env(&variable.name, value(variable, root.path()));
        }
        // Every pod has an address of its own; here they share one.
        command.env("ASSAY_ADMIN", format!("127.0.0.1:{admin}"));
    };
    let log = root.path().join("log");
    Ok(Pod {
        processor: Processor::start(name, configure, &log)?,
        _root: root,
    })
}

/// A path below /etc lies below the pod's own folder here.
fn value(variable: &EnvVar, root: &Path) -> String {
    let value = variable.value.as_deref().unwrap_or_default();
    if value.starts_with("/etc/") {
        format!("{}{value}", root.display())
    } else {
        value.to_owned()
    }
}

fn mount(lab: &Lab, pod: &PodSpec, volume: &Volume, root: &Path) -> Result<()> {
    let mounts = |container: &Container| {
        let mounts = container.volume_mounts.clone().unwrap_or_default();
        mounts.into_iter().find(|mount| mount.name == volume.name)
    };
    let mount = pod.containers.first().and_then(mounts).context("a mount")?;
    let folder = root.join(mount.mount_path.trim_start_matches('/'));
    std::fs::create_dir_all(&folder)?;
    for (file, content) in files(lab, volume)? {
        std::fs::write(folder.join(file), content)?;
    }
    Ok(())
}

fn files(lab: &Lab, volume: &Volume) -> Result<Vec<(String, Vec<u8>)>> {
    if let Some(source) = &volume.config_map {
        let map: ConfigMap = lab.runtime.block_on(lab.api().get(&source.name))?;
        let data = map.data.unwrap_or_default();
        return Ok(data.into_iter().map(|(name, text)| (name, text.into_bytes())).collect());
    }
    let source = volume.secret.as_ref().context("a Secret")?;
    let name = source.secret_name.as_deref().context("its name")?;
    let secret: Secret = lab.runtime.block_on(lab.api().get(name))?;
    let data = secret.data.unwrap_or_default();
    let items = source.items.iter().flatten();
    items
        .map(|item| Ok((item.path.clone(), data.get(&item.key).context("a key")?.0.clone())))
        .collect()
}
