//! Credentials that cannot reach a log by accident.

use std::fmt;

/// A password, a user name or a URL that may carry one. Shows as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A credential that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither the variable nor its `_FILE` is set.
    #[error("{0} is not set; set it, or {0}_FILE to a file that holds it")]
    Missing(String),
    /// The file cannot be read.
    #[error("{variable}_FILE names {path}, which cannot be read: {source}; mount the Secret there")]
    Unreadable {
        /// Variable.
        variable: String,
        /// Path.
        path: String,
        /// Cause.
        source: std::io::Error,
    },
    /// Something else than a certificate or a key.
    #[error("{variable} holds no {content} in PEM; correct {variable} or the file that {variable}_FILE names")]
    NoPem {
        /// Variable.
        variable: String,
        /// What was expected.
        content: &'static str,
    },
    /// A key that needs a passphrase.
    #[error("{0} is encrypted; store the key without a passphrase (openssl pkey -in KEY -out PLAIN)")]
    Encrypted(String),
}

impl Secret {
    /// Wraps a credential.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself, for the client that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// From the environment variable, or from the file that `VARIABLE_FILE` names; surrounding white space is cut. An empty
    /// variable counts as not set.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find(variable: &str) -> Result<Option<Self>, SecretError> {
        let set = |variable: &str| std::env::var(variable).ok().filter(|text| !text.trim().is_empty());
        if let Some(text) = set(variable) {
            return Ok(Some(Self::new(text.trim())));
        }
        let Some(path) = set(&format!("{variable}_FILE")) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Self::new(text.trim()))),
            Err(source) => Err(SecretError::Unreadable {
                variable: variable.to_owned(),
                path,
                source,
            }),
        }
    }

    /// Like [`Secret::find`], where it must be there.
    ///
    /// # Errors
    /// It is not set, or the file cannot be read.
    pub fn require(variable: &str) -> Result<Self, SecretError> {
        Self::find(variable)?.ok_or_else(|| SecretError::Missing(variable.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
    }

    #[test]
    fn a_missing_secret_is_named() {
        let error = Secret::require("ASSAY_TEST_NOWHERE").unwrap_err().to_string();
        assert!(error.contains("ASSAY_TEST_NOWHERE_FILE"), "{error}");
    }
}
