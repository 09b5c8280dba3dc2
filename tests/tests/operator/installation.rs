//! The operator's program as it is installed: under an account of its own with the rights that the chart grants, and no others.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use assay_tests::kubernetes::Kubernetes;
use assay_tests::once::Once;
use assay_tests::ports::Port;
use assay_tests::processor::binary;
use assay_tests::scratch::{Scratch, unique};
use assay_tests::{Process, http, wait};
use kube::config::Kubeconfig;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Rights and an identity in a namespace of the operator's own.
pub struct Installation {
    pub own_namespace: String,
    watched: String,
    kubeconfig: PathBuf,
    scratch: Scratch,
}

/// What the chart installs into: one watched namespace, or the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    Namespace,
    Cluster,
}

impl Installation {
    pub fn new(kubernetes: &Kubernetes, watched: &str, rights: Rights) -> Result<Self> {
        let own_namespace = unique("system");
        let namespaces = [&own_namespace, watched]
            .map(|name| format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n"))
            .concat();
        let objects = rendered_rights(kubernetes, rights)?;
        let objects = objects.replace(OWN, &own_namespace).replace(WATCHED, watched);
        apply(kubernetes, &(namespaces + &objects))?;
        let scratch = Scratch::new("operator")?;
        let kubeconfig = scratch.path().join("kubeconfig.json");
        let account = kubeconfig_of_account(kubernetes, &own_namespace)?;
        std::fs::write(&kubeconfig, account.to_string())?;
        Ok(Self {
            own_namespace,
            watched: watched.to_owned(),
            kubeconfig,
            scratch,
        })
    }

    /// A command of the program with its account.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?.with_file_name("assay-operator"));
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        Ok(command)
    }

    /// `run`, impatient enough for tests.
    pub fn start(&self, configure: impl FnOnce(&mut Command)) -> Result<Operator> {
        self.start_patient(|command| {
            command.args(["--resync=1s", "--secrets-age=1s", "--cleanup-limit=3s"]);
            configure(command);
        })
    }

    /// `run` at the pace of an installation.
    pub fn start_patient(&self, configure: impl FnOnce(&mut Command)) -> Result<Operator> {
        let (admin, identity) = (Port::reserve()?, unique("operator"));
        let mut command = self.command(&["run", "--processor-image=assay:test"])?;
        command
            .env("ASSAY_CLUSTER", "lab")
            // As the chart has it.
            .env("MALLOC_ARENA_MAX", "2")
            .arg(format!("--namespace={}", self.watched))
            .arg(format!("--own-namespace={}", self.own_namespace))
            .arg(format!("--identity={identity}"))
            .arg(format!("--admin=127.0.0.1:{}", admin.number()));
        configure(&mut command);
        let log = self.scratch.path().join(format!("{identity}.log"));
        let mut process = Process::spawn(&identity, command, &log)?;
        wait::until(START_LIMIT, "the operator's pages", || {
            process.ensure_running()?;
            Ok(http::get(admin.number(), "/livez").is_ok().then_some(()))
        })?;
        Ok(Operator {
            process,
            admin,
            identity,
        })
    }

    /// Everything that every operator of this installation has logged.
    pub fn logs(&self) -> Result<String> {
        let mut logs = String::new();
        for entry in std::fs::read_dir(self.scratch.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                logs += &std::fs::read_to_string(path)?;
            }
        }
        Ok(logs)
    }
}

/// A running operator.
pub struct Operator {
    pub process: Process,
    admin: Port,
    pub identity: String,
}

impl Operator {
    pub fn page(&self, path: &str) -> Result<String> {
        http::get(self.admin.number(), path)
    }

    pub fn set_log_level(&self, directives: &str) -> Result<String> {
        http::put(self.admin.number(), "/log-level", directives)
    }

    pub fn kill(mut self) {
        self.process.kill();
    }

    pub fn freeze(&self) {
        self.process.freeze();
    }

    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Asks it to stop, as Kubernetes does; it has to end with success.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(START_LIMIT)?;
        ensure!(status.success(), "ended with {status}: {}", self.process.log_tail());
        Ok(())
    }

    /// Waits until it ends by itself; gives whether with success.
    pub fn wait_for_end(&mut self) -> Result<bool> {
        Ok(self.process.wait(Duration::from_mins(1))?.success())
    }

    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait::until(START_LIMIT, text, || {
            Ok(self.process.log()?.contains(text).then_some(()))
        })
    }
}

/// Stand for the namespaces in what is rendered once and used by every lab.
const OWN: &str = "own-namespace";
const WATCHED: &str = "watched-namespace";

fn rendered_rights(kubernetes: &Kubernetes, rights: Rights) -> Result<&'static str> {
    static NAMESPACED: Once<String> = Once::new();
    static CLUSTER_WIDE: Once<String> = Once::new();
    let cache = match rights {
        Rights::Namespace => &NAMESPACED,
        Rights::Cluster => &CLUSTER_WIDE,
    };
    cache.get(|| render_rights(kubernetes, rights)).map(String::as_str)
}

/// The chart's account and roles, nothing else of it.
fn render_rights(kubernetes: &Kubernetes, rights: Rights) -> Result<String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/assay");
    let mut helm = kubernetes.program("helm");
    helm.args(["template", OWN]).arg(chart).args(["--namespace", OWN]);
    for template in ["roles", "service-account"] {
        helm.arg(format!("--show-only=templates/{template}.yaml"));
    }
    helm.arg("--set=serviceAccount.name=operator");
    if rights == Rights::Namespace {
        helm.arg(format!("--set=watchNamespaces={{{WATCHED}}}"));
    }
    let output = helm.output().context("cannot start helm")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm: {message}");
    Ok(String::from_utf8(output.stdout)?)
}

fn apply(kubernetes: &Kubernetes, objects: &str) -> Result<()> {
    let mut kubectl = kubernetes.program("kubectl");
    kubectl.args(["apply", "--server-side", "--filename=-"]);
    let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    child
        .stdin
        .take()
        .context("standard input was piped")?
        .write_all(objects.as_bytes())?;
    ensure!(
        child.wait()?.success(),
        "kubectl apply failed; its message stands above"
    );
    Ok(())
}

fn kubeconfig_of_account(kubernetes: &Kubernetes, namespace: &str) -> Result<Value> {
    let token = kubernetes.kubectl(&["-n", namespace, "create", "token", "operator", "--duration=2h"])?;
    let administrator = Kubeconfig::read_from(kubernetes.kubeconfig())?;
    let mut kubeconfig = serde_json::to_value(administrator)?;
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    Ok(kubeconfig)
}
