//! Certificates of the encrypted connections: read once at the start, from the environment or from mounted files.
//! Looks at their form only; whether they fit is for the two sides of a connection to judge.

use crate::secret::{Secret, SecretError};

/// What one server's connection is verified and authenticated with. Shows no content.
#[derive(Debug, Clone, Default)]
pub struct TlsMaterial {
    /// Certificate authorities, PEM; `None` = the system's.
    pub authority: Option<Secret>,
    /// What the client shows of itself.
    pub identity: Option<Identity>,
}

/// A client certificate and what proves that it is ours.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, followed by those of intermediate authorities, PEM.
    pub certificate: Secret,
    /// Its private key, PEM without a passphrase.
    pub private_key: Secret,
}

/// Which certificates a manifest names, so that they must be there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named {
    /// `caSecret`.
    pub authority: bool,
    /// `clientCertificateSecret`.
    pub identity: bool,
}

impl TlsMaterial {
    /// From `PREFIX_CA`, `PREFIX_CERTIFICATE` and `PREFIX_PRIVATE_KEY`, each also as `…_FILE`.
    ///
    /// # Errors
    /// One that `named` asks for is missing, a certificate is without its key, a file cannot be read or is no PEM.
    pub fn find(prefix: &str, named: Named) -> Result<Self, SecretError> {
        let authority = pem(&format!("{prefix}_CA"), named.authority, "CERTIFICATE")?;
        let (certificate, private_key) = (format!("{prefix}_CERTIFICATE"), format!("{prefix}_PRIVATE_KEY"));
        let any = named.identity || Secret::find(&certificate)?.is_some() || Secret::find(&private_key)?.is_some();
        let certificate = pem(&certificate, any, "CERTIFICATE")?;
        let private_key = pem(&private_key, any, "PRIVATE KEY")?;
        let identity = certificate.zip(private_key).map(|(certificate, private_key)| Identity {
            certificate,
            private_key,
        });
        Ok(Self { authority, identity })
    }

    /// Whether nothing is given: then the URL alone decides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authority.is_none() && self.identity.is_none()
    }
}

/// Whose certificate a failed handshake is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blamed {
    /// The server's: we did not accept it.
    Server,
    /// Ours: the server did not accept it, or missed one.
    Client,
}

/// What rustls' message says; `None` where it is about something else. The drivers pass its errors on as text only.
#[must_use]
pub fn blamed(message: &str) -> Option<Blamed> {
    if message.contains("invalid peer certificate") {
        return Some(Blamed::Server);
    }
    message.contains("received fatal alert").then_some(Blamed::Client)
}

fn pem(variable: &str, wanted: bool, content: &'static str) -> Result<Option<Secret>, SecretError> {
    let found = match Secret::find(variable)? {
        None if wanted => return Err(SecretError::Missing(variable.to_owned())),
        found => found,
    };
    if let Some(secret) = &found {
        check(variable, secret.expose(), content)?;
    }
    Ok(found)
}

/// A private key may be called `EC PRIVATE KEY` or the like, and one with a passphrase could not be opened.
fn check(variable: &str, text: &str, content: &'static str) -> Result<(), SecretError> {
    let marked = |mark: &str| {
        text.lines()
            .any(|line| line.starts_with("-----BEGIN ") && line.contains(mark))
    };
    if !marked(&format!("{content}-----")) {
        return Err(SecretError::NoPem {
            variable: variable.to_owned(),
            content,
        });
    }
    if marked("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(SecretError::Encrypted(variable.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::certificate("-----BEGIN CERTIFICATE-----\nAA==", "CERTIFICATE")]
    #[case::text_before("subject=me\n-----BEGIN CERTIFICATE-----\nAA==", "CERTIFICATE")]
    #[case::key("-----BEGIN PRIVATE KEY-----\nAA==", "PRIVATE KEY")]
    #[case::old_key("-----BEGIN EC PRIVATE KEY-----\nAA==", "PRIVATE KEY")]
    fn pem_is_accepted(#[case] text: &str, #[case] content: &'static str) {
        check("V", text, content).unwrap();
    }

    #[rstest]
    #[case::binary("MIIB", "CERTIFICATE", "V holds no CERTIFICATE")]
    #[case::the_other("-----BEGIN PRIVATE KEY-----", "CERTIFICATE", "V holds no CERTIFICATE")]
    #[case::passphrase("-----BEGIN ENCRYPTED PRIVATE KEY-----", "PRIVATE KEY", "without a passphrase")]
    #[case::old_passphrase(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED",
        "PRIVATE KEY",
        "passphrase"
    )]
    fn anything_else_names_the_variable_and_not_its_content(
        #[case] text: &str,
        #[case] content: &'static str,
        #[case] message: &str,
    ) {
        let error = check("V", text, content).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains(text), "{error}");
    }

    #[test]
    fn a_certificate_that_the_manifest_names_must_be_there() {
        let named = Named {
            authority: true,
            identity: false,
        };
        let error = TlsMaterial::find("ASSAY_TEST_NOWHERE", named).unwrap_err().to_string();
        assert!(error.contains("ASSAY_TEST_NOWHERE_CA_FILE"), "{error}");
        assert!(
            TlsMaterial::find("ASSAY_TEST_NOWHERE", Named::default())
                .unwrap()
                .is_empty()
        );
    }
}
