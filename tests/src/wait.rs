//! Waiting for a state with a deadline, the only way a test may wait.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until `probe` gives a value, and fails after `limit` with what was awaited.
///
/// # Errors
/// The deadline passed, or `probe` failed.
pub fn until<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks until `probe` succeeds; the last error is part of the failure.
///
/// # Errors
/// The deadline passed.
pub fn until_ok<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("waited {limit:?} in vain for {what}")));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
