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
    /// The server cannot be reached, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was done, or the SQL, as text for standard output. Running it again changes nothing.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(args: &MigrateArgs) -> Result<String, MigrateError> {
    let url = match &args.postgres_url {
        Some(url) => Secret::new(url),
        None => Secret::require("ASSAY_POSTGRES_URL")?,
    };
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
