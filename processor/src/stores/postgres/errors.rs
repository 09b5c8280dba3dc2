//! From the driver's errors to what a caller can do about them.

use super::StoreError;

/// A statement whose effect is unknown, or that may pass when sent again, is `Unavailable`; the caller reads progress.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => {
            let message = database.message().to_owned();
            match database.code().as_deref() {
                Some("23505") => StoreError::UniqueViolation(message),
                Some(code) if passes_by_itself(code) => StoreError::Unavailable(format!("{message} ({code})")),
                code => StoreError::Refused(format!("{message} ({})", code.unwrap_or("no code"))),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
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
    use super::passes_by_itself;

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
