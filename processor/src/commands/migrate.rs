//! `assay migrate`: brings the schema of the result store up to date, or prints the SQL for someone who may.

use crate::stores::{PostgresOptions, PostgresStore, StoreError};

/// Arguments of `assay migrate`.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrateArgs {
    /// URL of the Postgres database. A role with the right to create in it is needed, except for --print-sql.
    #[arg(long, env = "ASSAY_POSTGRES_URL", hide_env_values = true)]
    postgres_url: String,
    /// Schema of the tables.
    #[arg(long, env = "ASSAY_POSTGRES_SCHEMA", default_value = "assay")]
    schema: String,
    /// Print the pending SQL and change nothing.
    #[arg(long)]
    print_sql: bool,
}

/// What was done, or the SQL, as text for standard output. Running it again changes nothing.
///
/// # Errors
/// Where the server cannot be reached, or refuses.
pub async fn migrate(args: &MigrateArgs) -> Result<String, StoreError> {
    let options = PostgresOptions::new(&args.postgres_url, &args.schema);
    if args.print_sql {
        return PostgresStore::pending_sql(&options).await;
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
