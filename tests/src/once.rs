//! What all tests of a process share: made when it is first asked for, at most once.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};

/// A value for everybody; where it could not be made, that is everybody's answer.
#[derive(Debug)]
pub struct Once<T>(OnceLock<Result<T, String>>);

impl<T> Once<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value, made by the first caller.
    ///
    /// # Errors
    /// Those of the first `make`.
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        let made = self.0.get_or_init(|| make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| anyhow!("{error}"))
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}
