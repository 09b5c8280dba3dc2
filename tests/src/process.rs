//! A child process that ends with its owner, and with this process however that ends.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How much of a log a failing test shows.
const TAIL: u64 = 6_000;

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Errors
    /// The program or the log file cannot be opened.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .context("cannot open the log file")?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let program = command.get_program().to_owned();
        let child =
            spawn_from_lasting_thread(command).with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; a process that is gone already is no error.
    pub fn signal(&self, signal: Signal) {
        // An id stays taken until its owner has waited for it, so this cannot reach a stranger.
        let _ = i32::try_from(self.child.id()).map(|pid| kill(Pid::from_raw(pid), signal));
    }

    /// Ends it at once, as a power cut would, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Stops it where it stands: it keeps its sockets and notices nothing.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether it is frozen by SIGSTOP.
    ///
    /// # Errors
    /// The process is gone.
    pub fn is_frozen(&self) -> Result<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The state follows the name, which may hold spaces and ends with the last parenthesis.
        Ok(stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// The exit status of a process that has ended.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// It is still running after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(limit, &what, || Ok(self.child.try_wait()?))
    }

    /// Fails with the end of the log if the process has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let signal = status
                .signal()
                .map(|signal| format!(" by signal {signal}"))
                .unwrap_or_default();
            anyhow::bail!("{} ended{signal} ({status}):\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Everything it has written so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// The end of what it has written.
    #[must_use]
    pub fn log_tail(&self) -> String {
        read_tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {}\n{}\n---", self.name, self.log_tail());
        }
    }
}

fn read_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// The kernel sends the signal of a parent's death when the *thread* that forked ends, and every test has a thread of
/// its own. So one thread that lasts as long as the process starts all children.
fn spawn_from_lasting_thread(mut command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    die_with_parent(&mut command);
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Whoever asked may have panicked meanwhile: nobody is left to tell.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = channel();
    spawner.send((command, answer)).context("the spawning thread is gone")?;
    Ok(child.recv().context("the spawning thread is gone")??)
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let set_signal = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes one system call
    // (prctl), allocates nothing and takes no lock.
    unsafe { command.pre_exec(set_signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn sleeper() -> Result<(Process, Scratch)> {
        let scratch = Scratch::new("sleeper")?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo started; exec sleep 1000"]);
        let process = Process::spawn("sleeper", command, &scratch.path().join("log"))?;
        Ok((process, scratch))
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() -> Result<()> {
        let (mut process, _scratch) = std::thread::spawn(sleeper).join().expect("no panic")?;
        process.ensure_running()?;
        wait::until(Duration::from_secs(5), "its first line", || {
            Ok(process.log()?.contains("started").then_some(()))
        })?;
        process.ensure_running()
    }

    #[test]
    fn a_frozen_child_goes_on_after_the_thaw_and_a_killed_one_is_gone() -> Result<()> {
        let (mut process, _scratch) = sleeper()?;
        process.freeze();
        wait::until(Duration::from_secs(5), "the freeze", || {
            Ok(process.is_frozen()?.then_some(()))
        })?;
        process.thaw();
        wait::until(Duration::from_secs(5), "the thaw", || {
            Ok((!process.is_frozen()?).then_some(()))
        })?;
        process.kill();
        assert!(process.ensure_running().is_err());
        Ok(())
    }
}
