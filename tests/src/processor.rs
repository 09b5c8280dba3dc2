//! The built `assay` binary as a child process, with its admin pages.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http;
use crate::once::Once;
use crate::ports::Port;
use crate::process::Process;

/// The binary with crash points: `ASSAY_BIN`, or the one that cargo builds now.
///
/// # Errors
/// It does not build.
pub fn binary() -> Result<&'static Path> {
    static BINARY: Once<PathBuf> = Once::new();
    BINARY.get(locate).map(PathBuf::as_path)
}

/// `make build` says the same words; so nothing is built twice, and no test runs an old binary.
fn locate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ASSAY_BIN") {
        return Ok(path.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "-q", "--workspace", "--bins", "--tests"];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "assay does not build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The test runs from target/PROFILE/deps.
    let folder = std::env::current_exe()?
        .parent()
        .and_then(Path::parent)
        .context("no target folder")?
        .to_owned();
    Ok(folder.join("assay"))
}

/// Runs a command of the binary to its end.
///
/// # Errors
/// It cannot be started.
pub fn run_to_end(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(arguments).output()?)
}

/// A running `assay run`.
#[derive(Debug)]
pub struct Processor {
    process: Process,
    admin: Port,
}

impl Processor {
    /// Starts `assay` with `command`'s arguments and environment; its admin pages get a port of their own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, configure: impl FnOnce(&mut Command, u16), log: &Path) -> Result<Self> {
        let admin = Port::reserve()?;
        let mut command = Command::new(binary()?);
        configure(&mut command, admin.number());
        Ok(Self {
            process: Process::spawn(name, command, log)?,
            admin,
        })
    }

    /// The child itself.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// `/status`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/status")?)?)
    }

    /// A count of `/status` `totals`; 0 where it does not answer.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        self.status()
            .ok()
            .and_then(|status| status["totals"][name].as_u64())
            .unwrap_or_default()
    }

    /// The body of an admin page.
    ///
    /// # Errors
    /// It does not answer, or not with success.
    pub fn get(&self, path: &str) -> Result<String> {
        http::get(self.admin.number(), path)
    }
}
