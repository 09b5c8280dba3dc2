//! The full cluster of `deploy/local/kubernetes` with the chart, the stores and the sample pipeline installed in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use assay_crds::{RevisionInstance, StrategyPipeline};
use assay_tests::results::Results;
use assay_tests::wait;
use serde_json::Value;

/// Until a fault is mended: an expired session, a replay, a new pod.
const SETTLE_LIMIT: Duration = Duration::from_mins(2);

/// A cluster that ends with this value.
pub(crate) struct Cluster {
    scripts: PathBuf,
    /// `PATH`, `KUBECONFIG` and the stores' ports, as the scripts print them.
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Starts the cluster and installs the programs beside the one under test, with two operators. About a minute.
    pub(crate) fn install() -> Result<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/kubernetes");
        let mut cluster = Self {
            scripts,
            environment: Vec::new(),
        };
        let programs = assay_tests::processor::binary()?;
        let programs = programs.parent().context("the program lies in a folder")?;
        let script = cluster.scripts.join("install-assay");
        let output = Command::new(script)
            .arg(programs)
            .arg("replicas=2")
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            output.status.success(),
            "install-assay failed: its message stands above"
        );
        cluster.environment = exported(&String::from_utf8(output.stdout)?);
        Ok(cluster)
    }

    /// A program of the cluster or of the machine, with the cluster's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.clone());
        command
    }

    /// Runs a program to its end, whatever that is.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let output = self.command(program).args(arguments).output();
        output.with_context(|| format!("cannot start {program}"))
    }

    /// What a program printed that must succeed.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run(program, arguments)?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {message}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// `kubectl` in the namespace of the pipeline.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.output("kubectl", &[&["--namespace", "trading"], arguments].concat())
    }

    /// `kubectl` in the namespace of the operator.
    pub(crate) fn kubectl_system(&self, arguments: &[&str]) -> Result<String> {
        self.output("kubectl", &[&["--namespace", "assay-system"], arguments].concat())
    }

    /// An object of the pipeline's namespace.
    pub(crate) fn get(&self, what: &[&str]) -> Result<Value> {
        let json = self.kubectl(&[&["get", "--output", "json"], what].concat())?;
        Ok(serde_json::from_str(&json)?)
    }

    /// A variable that the scripts set, such as the port of a store.
    pub(crate) fn variable(&self, name: &str) -> Result<&str> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        Ok(&found.with_context(|| format!("install-assay does not print {name}"))?.1)
    }

    /// Names of the processor pods that are not about to go.
    pub(crate) fn processors(&self) -> Result<Vec<String>> {
        let pods = self.get(&["pods", "--selector", PROCESSORS])?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let staying = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(staying
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect())
    }

    /// The Deployment of the live revision.
    pub(crate) fn deployment(&self) -> Result<Value> {
        let deployments = self.get(&["deployments", "--selector", PROCESSORS])?;
        deployments["items"].get(0).cloned().context("no Deployment")
    }

    /// Waits until as many processors are ready as asked for, none is left over, and the pipeline says Ready.
    pub(crate) fn wait_until_settled(&self, replicas: u64) -> Result<()> {
        let settled = wait::until(SETTLE_LIMIT, &format!("{replicas} ready processors"), || {
            let deployment = self.deployment()?;
            let status = |field: &str| deployment["status"][field].as_u64().unwrap_or_default();
            let current = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
            let pods = self.processors()?.len() as u64;
            let all = [
                deployment["spec"]["replicas"].as_u64().unwrap_or_default(),
                status("replicas"),
                pods,
            ];
            let ready = [status("readyReplicas"), status("updatedReplicas")];
            let settled = current && all.iter().chain(&ready).all(|count| *count == replicas) && self.is_ready()?;
            Ok(settled.then_some(()))
        });
        settled.with_context(|| {
            self.kubectl(&["get", "all,strategypipelines", "--output", "wide"])
                .unwrap_or_default()
        })
    }

    fn is_ready(&self) -> Result<bool> {
        let pipeline = self.get(&["strategypipeline", "demo"])?;
        let conditions = pipeline["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True"))
    }

    /// Asks Postgres.
    pub(crate) fn sql(&self, statement: &str) -> Result<String> {
        self.output(
            "psql",
            &[
                "-qAtX",
                "--dbname",
                self.variable("ASSAY_POSTGRES_URL")?,
                "--command",
                statement,
            ],
        )
    }

    /// The folder of the cluster.
    pub(crate) fn folder(&self) -> Result<&Path> {
        let folder = Path::new(self.variable("KUBECONFIG")?).ancestors().nth(2);
        folder.context("KUBECONFIG lies in config/ of the cluster's folder")
    }

    /// Starts again what is missing of the cluster itself.
    pub(crate) fn bring_up(&self) -> Result<()> {
        let output = self.command(self.scripts.join("up")).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Fails where rows or values differ from a backtest of `trades`.
    pub(crate) fn ensure_results_of(&self, trades: &[PathBuf]) -> Result<()> {
        let (manifest, instance) = self.live_revision()?;
        let (postgres, redis) = (self.variable("ASSAY_POSTGRES_URL")?, self.variable("ASSAY_REDIS_URL")?);
        let live = Results::of_stores(&manifest, &instance, postgres, redis)?;
        live.ensure_equal(&Results::of_backtest(&manifest, &instance, trades)?)
    }

    /// What the pods of the pipeline's one revision are told.
    fn live_revision(&self) -> Result<(StrategyPipeline, RevisionInstance)> {
        let deployment = self.deployment()?;
        let volumes = deployment["spec"]["template"]["spec"]["volumes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut names = volumes.iter().filter_map(|volume| volume["configMap"]["name"].as_str());
        let config = self.get(&["configmap", names.next().context("no ConfigMap is mounted")?])?;
        let text = |key: &str| config["data"][key].as_str().unwrap_or_default().to_owned();
        Ok((
            serde_json::from_str(&text("pipeline.json"))?,
            serde_json::from_str(&text("revision.json"))?,
        ))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let down = Command::new(self.scripts.join("down")).status();
        if !matches!(down, Ok(status) if status.success()) {
            eprintln!("the cluster did not end: {down:?}");
        }
    }
}

/// Label of the processors of the sample pipeline.
pub(crate) const PROCESSORS: &str = "assay.dev/pipeline=demo";

/// Variables of lines such as `export PATH=/bin:$PATH`.
fn exported(lines: &str) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    let pairs = lines
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.replace("$PATH", &path)))
        .collect()
}
