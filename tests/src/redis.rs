//! A real Redis server, and the ways in which it goes wrong.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::once::Once;
use crate::ports::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A server with a folder of its own that saves only when told to.
#[derive(Debug)]
pub struct Redis {
    // Before the folder: the process ends first.
    process: Mutex<Process>,
    scratch: Scratch,
    port: Port,
    arguments: Vec<String>,
    login: String,
}

impl Redis {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// Redis is not installed or does not start in time.
    pub fn start() -> Result<Self> {
        Self::start_with(&[], String::new())
    }

    /// Starts a server with further arguments; `login` is what stands before the host in the tests' own URL, such as
    /// `:PASSWORD@`.
    ///
    /// # Errors
    /// Redis is not installed or does not start in time.
    pub fn start_with(arguments: &[String], login: String) -> Result<Self> {
        let (scratch, port) = (Scratch::new("redis")?, Port::reserve()?);
        let arguments = arguments.to_vec();
        let process = Mutex::new(spawn(&scratch, &port, &arguments)?);
        let redis = Self {
            process,
            scratch,
            port,
            arguments,
            login,
        };
        redis.wait_until_ready()?;
        Ok(redis)
    }

    /// The server that all tests of this process share; they keep apart by key prefix.
    ///
    /// # Errors
    /// It could not be started.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Once<Redis> = Once::new();
        SHARED.get(Self::start)
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Connection URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// Connection URL through a proxy's port.
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        format!("redis://{}127.0.0.1:{port}/", self.login)
    }

    /// A connection for questions of the test itself.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn connection(&self) -> Result<::redis::Connection> {
        Ok(::redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(2))?)
    }

    /// Every key matching `pattern`, with its fields or its text, sorted: equal texts mean equal contents.
    ///
    /// # Errors
    /// The server does not answer, or a key is neither a hash nor a string.
    pub fn dump(&self, pattern: &str) -> Result<String> {
        let mut connection = self.connection()?;
        let mut keys: Vec<String> = ::redis::cmd("KEYS").arg(pattern).query(&mut connection)?;
        keys.sort();
        let lines = keys.iter().map(|key| dump_key(&mut connection, key));
        Ok(lines.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Deletes everything, as a restart without persistence does.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn flush(&self) -> Result<()> {
        Ok(::redis::cmd("FLUSHALL").query(&mut self.connection()?)?)
    }

    /// Kills the server as a power cut would.
    pub fn kill(&self) {
        self.with_process(Process::kill);
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.with_process(|process| process.freeze());
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.with_process(|process| process.thaw());
    }

    /// Saves a dump; a later restart begins with it, however much was written since.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn save_dump(&self) -> Result<()> {
        Ok(::redis::cmd("SAVE").query(&mut self.connection()?)?)
    }

    /// Removes the saved dump: a later restart begins empty.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_dump(&self) -> Result<()> {
        match std::fs::remove_file(self.dump_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Starts the server again on the same port with the dump saved last, and waits until it answers.
    ///
    /// # Errors
    /// It does not come back in time.
    pub fn restart(&self) -> Result<()> {
        self.kill();
        let process = spawn(&self.scratch, &self.port, &self.arguments)?;
        self.with_process(|old| *old = process);
        self.wait_until_ready()
    }

    fn dump_file(&self) -> PathBuf {
        self.scratch.path().join("dump.rdb")
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait::until_ok(START_LIMIT, "Redis to answer", || {
            self.with_process(Process::ensure_running)?;
            Ok(::redis::cmd("PING").query::<()>(&mut self.connection()?)?)
        })
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        // A poisoned lock means a test panicked; the process is as good as before.
        act(&mut self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn dump_key(connection: &mut ::redis::Connection, key: &str) -> Result<String> {
    use std::fmt::Write as _;
    let kind: String = ::redis::cmd("TYPE").arg(key).query(connection)?;
    let mut text = String::new();
    match kind.as_str() {
        "hash" => {
            let fields: std::collections::BTreeMap<String, String> =
                ::redis::cmd("HGETALL").arg(key).query(connection)?;
            for (field, value) in fields {
                writeln!(text, "{key} {field} {value}")?;
            }
        }
        "string" => writeln!(
            text,
            "{key} {}",
            ::redis::cmd("GET").arg(key).query::<String>(connection)?
        )?,
        other => anyhow::bail!("key {key} is a {other}"),
    }
    Ok(text)
}

fn spawn(scratch: &Scratch, port: &Port, arguments: &[String]) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.number().to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    command
        .args(["--maxmemory-policy", "noeviction", "--dir"])
        .arg(scratch.path())
        .args(arguments);
    Process::spawn("Redis", command, &scratch.path().join("log")).context("run deploy/local/install")
}
