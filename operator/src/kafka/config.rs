//! A connection's settings for librdkafka, from the spec and the Secrets it names. Knows nothing of topics.

use std::collections::BTreeMap;
use std::fmt;

use assay_crds::spec::{KafkaSpec, SecuritySpec};
use rdkafka::ClientConfig;

use crate::secrets::TlsMaterial;

/// What the Secrets of `kafka.security` hold. Shows no content.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaCredentials {
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Certificates.
    pub tls: TlsMaterial,
}

impl fmt::Debug for KafkaCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KafkaCredentials(***)")
    }
}

/// Where the brokers are and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    settings: BTreeMap<String, SecretValue>,
}

/// A setting that may be a password: never shown.
#[derive(Clone, PartialEq, Eq)]
struct SecretValue(String);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Connection {
    /// From the spec and what its Secrets hold.
    #[must_use]
    pub fn new(spec: &KafkaSpec, credentials: &KafkaCredentials) -> Self {
        let mut settings: BTreeMap<String, String> = spec.client_config.clone();
        settings.insert("bootstrap.servers".to_owned(), spec.bootstrap_servers.clone());
        if let Some(security) = &spec.security {
            secure(&mut settings, security, credentials);
        }
        Self {
            settings: settings
                .into_iter()
                .map(|(key, value)| (key, SecretValue(value)))
                .collect(),
        }
    }

    /// Names the connection without showing it: equal connections share one handle.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in &self.settings {
            for part in [key.as_bytes(), value.0.as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Settings of a client that asks, never consumes and makes no topic by asking: short waits, and the log's end is that of its
    /// records, with or without open transactions.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.settings {
            config.set(key, &value.0);
        }
        config
            .set("client.id", "assay-operator")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_uncommitted")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.max.ms", "5000")
            .set("log_level", "3");
        config
    }
}

fn secure(settings: &mut BTreeMap<String, String>, security: &SecuritySpec, credentials: &KafkaCredentials) {
    let mut set = |key: &str, value: &str| {
        settings.insert(key.to_owned(), value.to_owned());
    };
    set("security.protocol", security.protocol.as_str());
    if let Some(mechanism) = security.mechanism {
        set("sasl.mechanism", mechanism.as_str());
    }
    if let Some((user, password)) = &credentials.login {
        set("sasl.username", user);
        set("sasl.password", password);
    }
    if let Some((certificate, key)) = &credentials.tls.identity {
        set("ssl.certificate.pem", certificate.expose());
        set("ssl.key.pem", key.expose());
    }
    if let Some(authority) = &credentials.tls.authority {
        set("ssl.ca.pem", authority.expose());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> KafkaSpec {
        serde_json::from_value(serde_json::json!({
            "bootstrapServers": "kafka:9092",
            "security": {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "credentialsSecret": {"name": "user"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_password_reaches_the_client_and_nothing_else() {
        let credentials = KafkaCredentials {
            login: Some(("me".into(), "hunter2".into())),
            ..KafkaCredentials::default()
        };
        let connection = Connection::new(&spec(), &credentials);
        assert_eq!(connection.client_config().get("sasl.password"), Some("hunter2"));
        assert!(!format!("{connection:?} {credentials:?} {}", connection.digest()).contains("hunter2"));
    }

    #[test]
    fn equal_connections_share_a_digest_and_another_password_does_not() {
        let with = |password: &str| {
            let login = Some(("me".to_owned(), password.to_owned()));
            Connection::new(
                &spec(),
                &KafkaCredentials {
                    login,
                    ..KafkaCredentials::default()
                },
            )
            .digest()
        };
        assert_eq!(with("a"), with("a"));
        assert_ne!(with("a"), with("b"));
    }
}
