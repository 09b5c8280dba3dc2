//! TCP ports that stay ours while a server is down, so that it can come back on the same one.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use rand::RngExt;

/// Below Linux's range for outgoing connections, which would otherwise take a port while its server restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

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
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
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
