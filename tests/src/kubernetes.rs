//! A real Kubernetes API without nodes: etcd, the API server and the controller manager. Objects are validated, defaulted,
//! watched and collected as in any cluster; pods stay Pending, because nothing runs them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::once::Once;

/// A cluster that ends with this value. It also ends with the test process, whatever happens to that: it lives until
/// its standard input closes.
#[derive(Debug)]
pub struct Kubernetes {
    child: Child,
    kubeconfig: PathBuf,
}

impl Kubernetes {
    /// Starts a cluster on a free port in a temporary folder; takes about five seconds. The first one on a machine builds
    /// the programs, which takes minutes.
    ///
    /// # Errors
    /// The cluster does not start: the message of `up`, which names its log, stands on standard error.
    pub fn start() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/kubernetes/up");
        let mut child = Command::new(&script)
            .arg("--until-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C reaches the tests alone; the closing pipe then ends the cluster in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", script.display()))?;
        let output = child.stdout.take().context("the output was piped")?;
        match kubeconfig_in(BufReader::new(output)) {
            Ok(kubeconfig) => Ok(Self { child, kubeconfig }),
            Err(error) => {
                child.wait()?;
                Err(error)
            }
        }
    }

    /// The cluster that the tests of one process share, each in a namespace of its own; started by the first caller.
    ///
    /// # Errors
    /// As [`Kubernetes::start`].
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Once<Kubernetes> = Once::new();
        SHARED.get(Self::start)
    }

    /// The kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A `kubectl`, `helm` or other program of the cluster that acts as administrator.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let folder = self.kubeconfig.ancestors().nth(2).unwrap_or(Path::new("/"));
        let mut command = Command::new(folder.join("bin").join(name));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs `kubectl` and gives what it printed.
    ///
    /// # Errors
    /// `kubectl` failed; the error holds its message.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .program("kubectl")
            .args(arguments)
            .output()
            .context("cannot start kubectl")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {message}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn kubeconfig_in(output: impl BufRead) -> Result<PathBuf> {
    for line in output.lines() {
        if let Some(path) = line?.strip_prefix("export KUBECONFIG=") {
            return Ok(PathBuf::from(path));
        }
    }
    anyhow::bail!("the cluster did not start: its message stands above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_answers_and_leaves_nothing_when_dropped() -> Result<()> {
        let cluster = Kubernetes::start()?;
        cluster.kubectl(&["create", "namespace", "trading"])?;
        assert_eq!(
            cluster.kubectl(&["get", "namespace", "trading", "-o", "name"])?.trim(),
            "namespace/trading"
        );
        let folder = cluster.kubeconfig().ancestors().nth(2).context("a folder")?.to_owned();
        let etcd = std::fs::read_to_string(folder.join("etcd.pid"))?;
        let pid = etcd.split_whitespace().next().context("a pid")?;
        drop(cluster);
        assert!(!folder.exists());
        assert!(!Path::new("/proc").join(pid).exists());
        Ok(())
    }
}
