//! A Postgres that lets the product's user in only over TLS, with the certificate of that name and a password.

use anyhow::Result;

use super::{Authority, Pair, USER, password};
use crate::{Database, Postgres};

/// The tests' own superuser comes in as ever; everybody else needs encryption, a certificate and a password.
const RULES: &str = "host all assay 127.0.0.1/32 trust\nhostssl all all all scram-sha-256 clientcert=verify-full\n";

const SETTINGS: &str = "ssl = on\nssl_ca_file = 'ca.crt'\npassword_encryption = 'scram-sha-256'\n";

/// See the module.
pub struct SecuredPostgres(Postgres);

impl SecuredPostgres {
    /// Starts a server with this certificate; clients have to show one signed by `authority`.
    ///
    /// # Errors
    /// Postgres is not installed or does not start in time.
    pub fn start(authority: &Authority, server: &Pair) -> Result<Self> {
        let files = [
            ("ca.crt", authority.pem()),
            ("server.crt", server.certificate.clone()),
            ("server.key", server.private_key.clone()),
            ("pg_hba.conf", RULES.to_owned()),
            ("postgresql.auto.conf", SETTINGS.to_owned()),
        ];
        let server = Self(Postgres::start_with(&files)?);
        let admin = server.0.database("postgres");
        admin.execute(&format!("CREATE ROLE {USER} LOGIN PASSWORD '{}'", password("postgres")))?;
        Ok(server)
    }

    /// An empty database in which the product's user may create a schema.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_database(&self) -> Result<Database> {
        let database = self.0.create_database()?;
        database.execute(&format!("GRANT CREATE ON DATABASE {} TO {USER}", database.name()))?;
        Ok(database)
    }

    /// The URL of the product's user, reached as `host`.
    #[must_use]
    pub fn url(&self, database: &Database, host: &str, password: &str) -> String {
        format!(
            "postgres://{USER}:{password}@{host}:{}/{}?sslmode=verify-full",
            self.0.port(),
            database.name()
        )
    }
}
