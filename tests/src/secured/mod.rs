//! Kafka, Postgres and Redis as a careful company runs them: encrypted, verified on both sides, with logins and rights.
//!
//! Each keeps a plain way in for the tests' own questions, on loopback, which the product is never told of.

mod certificates;
mod kafka;
mod postgres;
mod redis;

pub use certificates::{Authority, Pair, Validity};
pub use kafka::{LONER, Listener, NO_READER, ONLOOKER, STRANGER, SecuredKafka};
pub use postgres::SecuredPostgres;
pub use redis::{OUTSIDER, SecuredRedis};

/// The user of the product, and the name in its client certificate.
pub const USER: &str = "trader";
/// What each of its passwords begins with: a text that must never be shown.
pub const PASSWORD_MARK: &str = "hunter2";

/// The user's password for one purpose.
#[must_use]
pub fn password(purpose: &str) -> String {
    format!("{PASSWORD_MARK}-{purpose}")
}
