//! A real Postgres server, its databases, and the ways in which it goes wrong.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::once::Once;
use crate::ports::Port;
use crate::process::Process;
use crate::scratch::{Scratch, unique};
use crate::wait;

const START_LIMIT: Duration = Duration::from_mins(1);

/// A server with a data folder of its own; its superuser is `assay`, without a password.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder: the process ends first.
    process: Mutex<Process>,
    scratch: Scratch,
    port: Port,
}

/// One database of a server.
#[derive(Debug, Clone)]
pub struct Database {
    port: u16,
    name: String,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// Postgres is not installed or does not start in time.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a server whose data folder gets further files, by name: certificates, or another `pg_hba.conf`.
    ///
    /// # Errors
    /// Postgres is not installed or does not start in time.
    pub fn start_with(files: &[(&str, String)]) -> Result<Self> {
        let scratch = Scratch::new("postgres")?;
        give_to_owner(scratch.path())?;
        let mut initdb = as_owner(&binaries()?.join("initdb"))?;
        initdb.args([
            "-U",
            "assay",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        let output = initdb
            .arg(scratch.path().join("data"))
            .output()
            .context("cannot run initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        for (name, content) in files {
            write_private(&scratch.path().join("data").join(name), content)?;
        }
        let port = Port::reserve()?;
        let process = Mutex::new(spawn(&scratch, &port)?);
        let postgres = Self { process, scratch, port };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// The server that all tests of this process share; they keep apart by database.
    ///
    /// # Errors
    /// It could not be started.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Once<Postgres> = Once::new();
        SHARED.get(Self::start)
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A database by name.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database {
            port: self.port(),
            name: name.to_owned(),
        }
    }

    /// Creates an empty database with a name of its own.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_database(&self) -> Result<Database> {
        let name = unique("assay").replace('-', "_");
        self.database("postgres").execute(&format!("CREATE DATABASE {name}"))?;
        Ok(self.database(&name))
    }

    /// `-m immediate`: every session is cut, nothing is tidied up, the next start recovers from the log.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop_immediately(&self) -> Result<()> {
        self.stop(Signal::SIGQUIT)
    }

    /// `-m fast`: sessions are cut, everything is written.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop_fast(&self) -> Result<()> {
        self.stop(Signal::SIGINT)
    }

    /// Starts a stopped server again on the same port and data, and waits until it answers.
    ///
    /// # Errors
    /// It does not come back in time.
    pub fn restart(&self) -> Result<()> {
        let process = spawn(&self.scratch, &self.port)?;
        self.with_process(|old| *old = process);
        self.wait_until_ready()
    }

    /// Freezes the postmaster: open sessions go on, new ones wait.
    pub fn freeze(&self) {
        self.with_process(|process| process.freeze());
    }

    /// Lets a frozen postmaster go on.
    pub fn thaw(&self) {
        self.with_process(|process| process.thaw());
    }

    /// Cuts every session of a database, as an administrator or a failover would; gives how many there were.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn terminate_backends(&self, database: &Database) -> Result<usize> {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            database.name
        );
        Ok(self.database("postgres").query(&sql)?.len())
    }

    /// Stops the server, keeps a copy of its data folder, and starts it again: what a standby would promote later.
    ///
    /// # Errors
    /// The copy fails, or the server does not come back.
    pub fn keep_copy(&self) -> Result<()> {
        self.stop_fast()?;
        copy_folder(&self.data(), &self.copy())?;
        self.restart()
    }

    /// Replaces a stopped server's data by the copy kept before, and starts it: commits since then are lost.
    ///
    /// # Errors
    /// There is no copy, or the server does not come back.
    pub fn restore_copy(&self) -> Result<()> {
        std::fs::remove_dir_all(self.data())?;
        copy_folder(&self.copy(), &self.data())?;
        self.restart()
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn copy(&self) -> PathBuf {
        self.scratch.path().join("copy")
    }

    fn stop(&self, signal: Signal) -> Result<()> {
        self.with_process(|process| {
            process.signal(signal);
            process.wait(START_LIMIT).map(drop)
        })
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait::until_ok(START_LIMIT, "Postgres to answer", || {
            self.with_process(Process::ensure_running)?;
            self.database("postgres").query("SELECT 1").map(drop)
        })
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        // A poisoned lock means a test panicked; the process is as good as before.
        act(&mut self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Database {
    /// Connection URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// Connection URL through a proxy's port.
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://assay@127.0.0.1:{port}/{}", self.name)
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every compared row of a schema's tables as sorted text; equal texts mean equal contents. Left out is what may
    /// differ between two runs of one log: who owned a partition, when a row was inserted, snapshots and promotions.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn dump(&self, schema: &str) -> Result<String> {
        let columns = self.query(&format!(
            "SELECT c.table_name, string_agg(format('%I', c.column_name), ', ' ORDER BY c.ordinal_position)
             FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
             WHERE c.table_schema = '{schema}' AND t.table_type = 'BASE TABLE'
                 AND c.table_name NOT IN ('snapshots', 'promotions', '_sqlx_migrations')
                 AND c.column_name NOT IN ('epoch', 'owner_nonce', 'inserted_at')
             GROUP BY c.table_name ORDER BY c.table_name"
        ))?;
        let tables = columns.iter().map(|row| self.dump_table(schema, &row[0], &row[1]));
        Ok(tables.collect::<Result<Vec<_>>>()?.concat())
    }

    fn dump_table(&self, schema: &str, table: &str, columns: &str) -> Result<String> {
        let rows = self.query(&format!(
            "SELECT ROW({columns})::text AS row FROM {schema}.{table} ORDER BY row"
        ))?;
        Ok(rows.iter().flat_map(|row| [table, " ", &row[0], "\n"]).collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.psql(sql).map(drop)
    }

    /// Runs a query; a row is a list of texts, NULL an empty one.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub fn query(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let printed = self.psql(sql)?;
        let rows = printed.split_terminator('\u{1e}');
        Ok(rows
            .map(|row| row.split('\u{1f}').map(str::to_owned).collect())
            .collect())
    }

    fn psql(&self, sql: &str) -> Result<String> {
        let mut psql = Command::new(binaries()?.join("psql"));
        // Separators that no text column holds; stop at the first error instead of going on.
        psql.args([
            "-XqAt",
            "-F",
            "\u{1f}",
            "-R",
            "\u{1e}",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &self.url(),
            "-c",
            sql,
        ]);
        let output = psql.env("PGCONNECT_TIMEOUT", "5").output().context("cannot run psql")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?.trim_end_matches('\n').to_owned())
    }
}

/// The newest version that is installed.
fn binaries() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("Postgres is missing; run deploy/local/install")?;
    let folders = versions
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists());
    folders.max().context("Postgres is missing; run deploy/local/install")
}

/// Postgres refuses to run as root; then Debian's user `postgres` owns server and data.
fn owner() -> Result<Option<User>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("postgres")?
        .context("no user postgres; run deploy/local/install")
        .map(Some)
}

fn as_owner(program: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    if let Some(user) = owner()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.current_dir("/tmp");
    Ok(command)
}

fn give_to_owner(path: &Path) -> Result<()> {
    if let Some(user) = owner()? {
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

/// Postgres refuses a private key that others may read.
fn write_private(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    give_to_owner(path)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

fn spawn(scratch: &Scratch, port: &Port) -> Result<Process> {
    let mut command = as_owner(&binaries()?.join("postgres"))?;
    command
        .arg("-D")
        .arg(scratch.path().join("data"))
        .args(["-p", &port.number().to_string()]);
    // The machine itself never goes down in a test, so the kernel's cache is durable enough.
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "max_connections=200",
        "shared_buffers=32MB",
    ] {
        command.args(["-c", setting]);
    }
    command
        .arg("-c")
        .arg(format!("unix_socket_directories={}", scratch.path().display()));
    Process::spawn("Postgres", command, &scratch.path().join("log"))
}
