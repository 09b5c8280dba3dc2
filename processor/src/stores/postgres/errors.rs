//! From the driver's errors to what a caller can do about them.

use super::StoreError;
use crate::tls::{Blamed, blamed};

const LOGIN: &str = "correct user and password in the URL of spec.results.postgres.secret (ASSAY_POSTGRES_URL)";
const ENCRYPTION: &str = "correct sslmode in the URL of spec.results.postgres.secret (ASSAY_POSTGRES_URL)";
const SERVER_CERTIFICATE: &str = "the authorities in spec.results.postgres.caSecret (ASSAY_POSTGRES_CA) must have signed the \
                                  server's certificate, it must not have expired, and it must hold the URL's host";
const CLIENT_CERTIFICATE: &str = "correct spec.results.postgres.clientCertificateSecret (ASSAY_POSTGRES_CERTIFICATE, \
                                  ASSAY_POSTGRES_PRIVATE_KEY)";
const GRANT: &str = "grant it to the user of spec.results.postgres.secret";

/// A statement whose effect is unknown, or that may pass when sent again, is `Unavailable`; the caller reads progress.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => {
            let message = database.message().to_owned();
            match database.code().as_deref() {
                Some("23505") => StoreError::UniqueViolation(message),
                Some(code) if code.starts_with("28") => no_access(&message, login_remedy(&message)),
                Some("42501") => no_access(&message, GRANT),
                Some(code) if passes_by_itself(code) => StoreError::Unavailable(format!("{message} ({code})")),
                code => StoreError::Refused(format!("{message} ({})", code.unwrap_or("no code"))),
            }
        }
        sqlx::Error::Io(cause) => match blamed(&cause.to_string()) {
            Some(Blamed::Server) => no_access(cause, SERVER_CERTIFICATE),
            Some(Blamed::Client) => no_access(cause, CLIENT_CERTIFICATE),
            None => StoreError::Unavailable(error.to_string()),
        },
        sqlx::Error::Tls(cause) => no_access(cause, ENCRYPTION),
        sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Refused(error.to_string()),
    }
}

fn no_access(cause: &impl std::fmt::Display, remedy: &str) -> StoreError {
    StoreError::NoAccess(format!("{cause}; {remedy}"))
}

/// Class 28 of Postgres' appendix A is every reason for which a server sends a client away, told by the text alone.
fn login_remedy(message: &str) -> &'static str {
    if message.contains("certificate") {
        return CLIENT_CERTIFICATE;
    }
    if message.contains("pg_hba.conf") {
        return ENCRYPTION;
    }
    LOGIN
}

/// Codes of Postgres' appendix A: 08 connection; 57P0x shutdown, crash, not yet up; 57014 statement timeout; 55P03 lock
/// timeout; 40 rollback by deadlock; 53300 too many connections; 25006 a standby that takes no writes.
fn passes_by_itself(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("57P")
        || code.starts_with("40")
        || matches!(code, "57014" | "55P03" | "53300" | "25006")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_is_refused_names_the_setting() {
        assert_eq!(login_remedy("password authentication failed for user \"assay\""), LOGIN);
        assert_eq!(
            login_remedy("connection requires a valid client certificate"),
            CLIENT_CERTIFICATE
        );
        assert_eq!(
            login_remedy("no pg_hba.conf entry for host \"::1\", no encryption"),
            ENCRYPTION
        );
    }

    #[test]
    fn a_shutdown_or_a_timeout_passes_and_a_constraint_or_a_full_disk_does_not() {
        for code in ["08006", "57P01", "57P03", "57014", "55P03", "40P01", "53300", "25006"] {
            assert!(passes_by_itself(code), "{code}");
        }
        for code in ["23514", "53100", "42P01", "28P01", "22003"] {
            assert!(!passes_by_itself(code), "{code}");
        }
    }
}
