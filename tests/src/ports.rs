//! TCP ports that stay ours while a server is down, so that it can come back on the same one.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;

/// Below Linux's range for outgoing connections, which would otherwise take a port while its server restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// A listener that never accepts, such as a frozen server's, answers no connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A loopback port reserved among all test processes of this machine by a lock on a file.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// # Errors
    /// The lock folder cannot be written, or a thousand ports in a row were taken.
    pub fn reserve() -> Result<Self> {
        let folder = std::env::temp_dir().join("assay-ports");
        std::fs::create_dir_all(&folder).context("cannot create the folder of port locks")?;
        for _ in 0..1000 {
            let number = rand::rng().random_range(RANGE);
            let lock = OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(number.to_string()))?;
            if lock.try_lock().is_ok() && is_free(number) {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port in {RANGE:?}")
    }

    /// The port.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Whether nobody listens on a loopback port.
///
/// It connects instead of binding the port for a moment: a child that another thread starts in that moment inherits the
/// socket, and holds the port until it has become its program.
fn is_free(number: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, number).into();
    TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use anyhow::{Context, Result};

    use super::Port;

    #[test]
    fn a_reserved_port_can_be_bound_while_other_threads_start_processes() -> Result<()> {
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let _ = Command::new("true").status();
                    }
                });
            }
            let outcome = (0..2_000).try_for_each(|_| {
                let port = Port::reserve()?;
                TcpListener::bind(("127.0.0.1", port.number()))
                    .map(drop)
                    .with_context(|| format!("port {}", port.number()))
            });
            done.store(true, Ordering::Relaxed);
            outcome
        })
    }
}
