//! What a cluster does to pods that did nothing wrong. Each fault returns once it has happened; the caller waits until the pipeline has
//! settled.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use assay_tests::wait;
use serde_json::json;

use crate::cluster::{Cluster, PROCESSORS};

/// One fault and its name in messages.
pub(crate) struct Fault {
    /// As a sentence.
    pub(crate) name: &'static str,
    /// Makes it happen.
    pub(crate) provoke: fn(&Cluster) -> Result<()>,
}

macro_rules! faults {
    ($($name:literal => $provoke:expr,)*) => {
        /// In the order in which they happen.
        pub(crate) const FAULTS: &[Fault] = &[$(Fault { name: $name, provoke: $provoke }),*];
    };
}

faults! {
    "a processor's pod is deleted without grace" => delete_processor,
    "a processor's container is killed" => kill_container,
    "the kubelet is restarted" => restart_kubelet,
    "the acting operator is killed" => kill_acting_operator,
    "pods lose Kafka for a while" => |cluster| cut_off(cluster, "kafka"),
    "pods lose Postgres for a while" => |cluster| cut_off(cluster, "postgres"),
    "pods lose Redis for a while" => |cluster| cut_off(cluster, "redis"),
    "a rolling update" => roll,
    "the Secret of the result store is rotated" => rotate_secret,
    "the node is drained" => drain,
    "the pipeline is scaled by hand" => scale,
    "the pipeline is scaled by a HorizontalPodAutoscaler" => autoscale,
}

/// Secrets are looked at once a minute.
const LIMIT: Duration = Duration::from_mins(2);
/// Longer than any request's timeout, shorter than the liveness probe's patience.
const CUT: Duration = Duration::from_secs(15);
/// How long a number of replicas must stand still to count as steady.
const STEADY: Duration = Duration::from_secs(15);

fn any_processor(cluster: &Cluster) -> Result<String> {
    cluster.processors()?.pop().context("no processor runs")
}

fn delete_processor(cluster: &Cluster) -> Result<()> {
    let pod = any_processor(cluster)?;
    cluster.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"])?;
    Ok(())
}

fn kill_container(cluster: &Cluster) -> Result<()> {
    let pod = any_processor(cluster)?;
    let status = |path: &str| {
        cluster.kubectl(&[
            "get",
            "pod",
            &pod,
            "-o",
            &format!("jsonpath={{.status.containerStatuses[0].{path}}}"),
        ])
    };
    let (container, restarts) = (status("containerID")?, status("restartCount")?);
    let id = container.trim_start_matches("containerd://");
    let socket = cluster.folder()?.join("var/run/containerd.sock");
    let socket = socket.to_str().context("a path of UTF-8")?;
    cluster.output(
        "ctr",
        &[
            "--address",
            socket,
            "--namespace",
            "k8s.io",
            "tasks",
            "kill",
            "--signal",
            "SIGKILL",
            id,
        ],
    )?;
    wait::until(LIMIT, "the container's restart", || {
        Ok((status("restartCount")? != restarts).then_some(()))
    })
}

/// Pods go on without it, and it finds them again.
fn restart_kubelet(cluster: &Cluster) -> Result<()> {
    let before = cluster.processors()?;
    let note = cluster.folder()?.join("kubelet.pid");
    let killed = std::fs::read_to_string(&note)?;
    let pid = killed.split_whitespace().next().context("a process id")?;
    cluster.output("kill", &["-9", pid])?;
    // What was killed takes a moment to go, and nothing is started beside it.
    wait::until(LIMIT, "another kubelet", || {
        cluster.bring_up()?;
        Ok((std::fs::read_to_string(&note)? != killed).then_some(()))
    })?;
    ensure!(
        cluster.processors()? == before,
        "the kubelet's restart changed the pods"
    );
    Ok(())
}

/// Another operator takes the lease over.
fn kill_acting_operator(cluster: &Cluster) -> Result<()> {
    let holder = || {
        cluster.kubectl_system(&[
            "get",
            "lease",
            "assay-operator",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ])
    };
    let acting = holder()?;
    cluster.kubectl_system(&["delete", "pod", &acting, "--force", "--grace-period=0"])?;
    wait::until(LIMIT, "another acting operator", || {
        let now = holder()?;
        Ok((!now.is_empty() && now != acting).then_some(()))
    })
}

/// What pods send to a port of the bridge is dropped until this value is.
struct Cut<'a> {
    cluster: &'a Cluster,
    port: String,
}

impl<'a> Cut<'a> {
    fn new(cluster: &'a Cluster, port: String) -> Result<Self> {
        let cut = Self { cluster, port };
        cut.change_rule("--insert")?;
        Ok(cut)
    }

    fn change_rule(&self, change: &str) -> Result<()> {
        let from_pods_to_port = ["INPUT", "-i", "assay0", "-p", "tcp", "--dport", &self.port];
        let arguments = [&[change], &from_pods_to_port[..], &["-j", "DROP"]].concat();
        self.cluster.output("iptables", &arguments).map(drop)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.change_rule("--delete") {
            eprintln!("{error:#}");
        }
    }
}

fn cut_off(cluster: &Cluster, service: &str) -> Result<()> {
    let port = [
        "get",
        "endpointslice",
        service,
        "--namespace",
        "data",
        "-o",
        "jsonpath={.ports[0].port}",
    ];
    let cut = Cut::new(cluster, cluster.output("kubectl", &port)?)?;
    std::thread::sleep(CUT);
    drop(cut);
    Ok(())
}

fn patch(cluster: &Cluster, spec: &serde_json::Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    cluster.kubectl(&[
        "patch",
        "strategypipeline",
        "demo",
        "--type",
        "merge",
        "--patch",
        &patch,
    ])?;
    Ok(())
}

/// Does something that makes new pods, and waits until the Deployment has been told.
fn expect_new_pods(cluster: &Cluster, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let generation =
        |cluster: &Cluster| Ok::<_, anyhow::Error>(cluster.deployment()?["metadata"]["generation"].clone());
    let before = generation(cluster)?;
    act()?;
    wait::until(LIMIT, "a new generation of the Deployment", || {
        Ok((generation(cluster)? != before).then_some(()))
    })
}

fn roll(cluster: &Cluster) -> Result<()> {
    let resources = json!({"processor": {"resources": {"requests": {"cpu": "60m"}}}});
    expect_new_pods(cluster, || patch(cluster, &resources))
}

/// The new user owns nothing and may do what the old one may; afterwards nobody is connected as the old one any more.
fn rotate_secret(cluster: &Cluster) -> Result<()> {
    cluster.sql("CREATE ROLE rotated LOGIN PASSWORD 'after' IN ROLE assay")?;
    let url = "postgres://rotated:after@postgres.data.svc:5432/assay";
    let secret = json!({"stringData": {"url": url}}).to_string();
    expect_new_pods(cluster, || {
        cluster
            .kubectl(&["patch", "secret", "results", "--type", "merge", "--patch", &secret])
            .map(drop)
    })?;
    wait::until(LIMIT, "the end of every connection with the old password", || {
        let old = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'assay' AND client_addr <> '127.0.0.1'";
        let new = "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'rotated'";
        Ok((cluster.sql(old)? == "0" && cluster.sql(new)? == "t").then_some(()))
    })
}

/// One processor may go; the disruption budget holds the other, because the cluster has no second node.
fn drain(cluster: &Cluster) -> Result<()> {
    let selector = format!("--pod-selector={PROCESSORS}");
    let drained = cluster.run(
        "kubectl",
        &["drain", "lab", &selector, "--delete-emptydir-data", "--timeout=10s"],
    )?;
    let staying = cluster.processors()?;
    cluster.output("kubectl", &["uncordon", "lab"])?;
    let message = String::from_utf8_lossy(&drained.stderr);
    ensure!(
        message.contains("disruption budget"),
        "nothing held the second processor back: {message}"
    );
    ensure!(!staying.is_empty(), "no processor was left");
    Ok(())
}

fn scale(cluster: &Cluster) -> Result<()> {
    for replicas in ["3", "1", "2"] {
        cluster.kubectl(&["scale", "strategypipeline/demo", &format!("--replicas={replicas}")])?;
        cluster.wait_until_settled(replicas.parse()?)?;
    }
    Ok(())
}

/// It raises the replicas to its minimum, and operator and autoscaler do not pull in two directions.
fn autoscale(cluster: &Cluster) -> Result<()> {
    let target = [
        "autoscale",
        "strategypipeline",
        "demo",
        "--min=3",
        "--max=3",
        "--cpu=50%",
    ];
    cluster.kubectl(&target)?;
    cluster.wait_until_settled(3)?;
    ensure_steady(cluster)?;
    cluster.kubectl(&["delete", "horizontalpodautoscaler", "demo"])?;
    cluster.kubectl(&["scale", "strategypipeline/demo", "--replicas=2"])?;
    Ok(())
}

fn ensure_steady(cluster: &Cluster) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < STEADY {
        let replicas = cluster.deployment()?["spec"]["replicas"].clone();
        ensure!(replicas == 3, "the replicas went to {replicas}");
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
