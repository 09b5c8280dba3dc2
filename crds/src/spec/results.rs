//! Where results go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kafka::{ClientCertificateSecret, SecretKey};
use crate::DurationText;

/// Where results go: Postgres is the permanent record and the only truth, Redis holds the latest state per symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultsSpec {
    /// How long result rows are kept. Has no effect yet: rows are kept for ever.
    #[serde(default = "default_retention")]
    pub retention: DurationText,
    /// The permanent record.
    pub postgres: PostgresSpec,
    /// The latest state per symbol.
    pub redis: RedisSpec,
}

fn default_retention() -> DurationText {
    "2160h".into()
}

/// The database of results and progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PostgresSpec {
    /// Secret key that holds the connection URL, postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full.
    pub secret: SecretKey,
    /// Secret with certificate authorities in PEM that sign the server's certificate, trusted besides the system's. With it or with
    /// clientCertificateSecret the connection is encrypted and the server verified (verify-full), unless the URL says
    /// sslmode=verify-ca.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKey>,
    /// Secret with a client certificate, followed by those of intermediate authorities, and its private key without a
    /// passphrase, both PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret: Option<ClientCertificateSecret>,
    /// Schema of the tables. Immutable: progress lives there.
    #[serde(default = "default_schema")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z_][a-z0-9_]*$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "results.postgres.schema is immutable: progress lives there; create another pipeline"},
    ]))]
    pub schema: String,
    /// Auto: processors bring the tables up to date before they start. External: they never change tables;
    /// where the schema is outdated, condition SchemaOutdated says so and `assay migrate --print-sql` gives the SQL.
    #[serde(default)]
    pub migrations: Migrations,
    /// Secret key with a URL that may change tables, used by migrations only; left out, `secret` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_secret: Option<SecretKey>,
}

fn default_schema() -> String {
    "assay".to_owned()
}

/// Who brings the tables up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Migrations {
    /// The processors, before they start.
    #[default]
    Auto,
    /// Somebody else.
    External,
}

/// The latest state per symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RedisSpec {
    /// Secret key that holds the connection URL, rediss://USER:PASSWORD@HOST:PORT/DB; redis:// is not encrypted.
    pub secret: SecretKey,
    /// Secret with the certificate authorities in PEM that sign the server's certificate; left out, the system's are used. Needs
    /// rediss:// in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKey>,
    /// Secret with a client certificate, followed by those of intermediate authorities, and its private key without a
    /// passphrase, both PEM. Needs rediss:// in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret: Option<ClientCertificateSecret>,
    /// Start of every key.
    #[serde(default = "default_key_prefix")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub key_prefix: String,
}

fn default_key_prefix() -> String {
    "assay".to_owned()
}
