//! A Redis that speaks TLS only with clients that show a certificate, and gives its users no more rights than they need.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::{Authority, Pair, USER, password};
use crate::Redis;
use crate::ports::Port;
use crate::scratch::Scratch;

/// The rights that the documentation lists for the product.
const RIGHTS: &str = "~assay:* +@read +@write +@connection +eval +evalsha +script|load +info";
/// A user who may do nothing with the product's keys.
pub const OUTSIDER: &str = "outsider";

/// See the module.
pub struct SecuredRedis {
    redis: Arc<Redis>,
    port: Port,
    // After the server, which reads its certificates from here.
    _scratch: Scratch,
}

impl SecuredRedis {
    /// Starts a server with this certificate; clients have to show one signed by `authority`.
    ///
    /// # Errors
    /// Redis is not installed or does not start in time.
    pub fn start(authority: &Authority, server: &Pair) -> Result<Self> {
        let (scratch, port) = (Scratch::new("secured-redis")?, Port::reserve()?);
        let folder = scratch.path();
        std::fs::write(folder.join("ca.crt"), authority.pem())?;
        std::fs::write(folder.join("server.crt"), &server.certificate)?;
        std::fs::write(folder.join("server.key"), &server.private_key)?;
        std::fs::write(folder.join("users.acl"), users()?)?;
        let login = format!(":{}@", password("redis-harness"));
        let redis = Arc::new(Redis::start_with(&arguments(folder, &port), login)?);
        Ok(Self {
            redis,
            port,
            _scratch: scratch,
        })
    }

    /// The server as the tests reach it.
    #[must_use]
    pub fn plain(&self) -> Arc<Redis> {
        Arc::clone(&self.redis)
    }

    /// The URL of a user over TLS, reached as `host`.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, host: &str) -> String {
        format!("rediss://{user}:{password}@{host}:{}/", self.port.number())
    }
}

fn users() -> Result<String> {
    let mut users = String::new();
    writeln!(users, "user default on >{} ~* &* +@all", password("redis-harness"))?;
    writeln!(users, "user {USER} on >{} {RIGHTS}", password("redis"))?;
    writeln!(users, "user {OUTSIDER} on >{} ~other:* +@connection", password("redis"))?;
    Ok(users)
}

fn arguments(folder: &Path, port: &Port) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        ("--tls-port", port.number().to_string()),
        ("--tls-auth-clients", "yes".to_owned()),
        ("--tls-ca-cert-file", file("ca.crt")),
        ("--tls-cert-file", file("server.crt")),
        ("--tls-key-file", file("server.key")),
        ("--aclfile", file("users.acl")),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}
