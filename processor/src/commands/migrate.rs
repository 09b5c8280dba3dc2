//! `assay migrate`: brings the schema of the result store up to date, or prints the SQL for someone who may.

use crate::secret::{Secret, SecretError};
use crate::stores::{PostgresOptions, PostgresStore, StoreError};
use crate::tls::{Named, TlsMaterial};

/// Arguments of `assay migrate`.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrateArgs {
    /// URL of the Postgres database, where it holds no password: other users see a command line. With one it belongs into
    /// `ASSAY_POSTGRES_URL`, or into the file that `ASSAY_POSTGRES_URL_FILE` names; certificates into `ASSAY_POSTGRES_CA_FILE`,
    /// `ASSAY_POSTGRES_CERTIFICATE_FILE` and `ASSAY_POSTGRES_PRIVATE_KEY_FILE`. A role with the right to create in the
    /// database is needed, except for --print-sql.
    #[arg(long)]
    postgres_url: Option<String>,
    /// Schema of the tables.
    #[arg(long, env = "ASSAY_POSTGRES_SCHEMA", default_value = "assay")]
    schema: String,
    /// Print the pending SQL and change nothing.
    #[arg(long)]
    print_sql: bool,
}

/// Why nothing was migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A credential is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Another kind of database.
    #[error("{0} starts with neither postgres:// nor postgresql://; correct it")]
    Scheme(&'static str),
    /// The server cannot be reached, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MigrateError {
    /// The exit code: 2 where the command line or the environment is wrong, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Secret(_) | Self::Scheme(_) => 2,
            Self::Store(_) => 1,
        }
    }
}

/// What was done, or the SQL, as text for standard output. Running it again changes nothing.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(args: &MigrateArgs) -> Result<String, MigrateError> {
    let (url, source) = match &args.postgres_url {
        Some(url) => (Secret::new(url), "--postgres-url"),
        None => (Secret::require("ASSAY_POSTGRES_URL")?, "ASSAY_POSTGRES_URL"),
    };
    if !["postgres:", "postgresql:"]
        .iter()
        .any(|scheme| url.expose().starts_with(scheme))
    {
        return Err(MigrateError::Scheme(source));
    }
    let options = PostgresOptions {
        tls: TlsMaterial::find("ASSAY_POSTGRES", Named::default())?,
        ..PostgresOptions::new(url.expose(), &args.schema)
    };
    if args.print_sql {
        return Ok(PostgresStore::pending_sql(&options).await?);
    }
    let applied = PostgresStore::migrate(&options).await?;
    Ok(report(&args.schema, &applied))
}

fn report(schema: &str, applied: &[i64]) -> String {
    if applied.is_empty() {
        return format!("schema {schema} is up to date\n");
    }
    applied.iter().fold(String::new(), |text, version| {
        text + &format!("schema {schema}: applied {version:04}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_kind_of_database_is_refused_by_the_option_and_without_the_credential() {
        let args = MigrateArgs {
            postgres_url: Some("mysql://u:hunter2@h/d".to_owned()),
            schema: "assay".to_owned(),
            print_sql: false,
        };
        let error = migrate(&args).await.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().starts_with("--postgres-url starts with neither"),
            "{error}"
        );
    }
}
