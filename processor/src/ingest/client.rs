//! librdkafka's configuration: what the manifest says, what Assay owns, and in which order they win.

use std::collections::BTreeMap;

use assay_crds::spec::{GroupProtocol, is_owned_client_key};
use rdkafka::ClientConfig;

use crate::secret::{Secret, SecretError};
use crate::tls::{Named, TlsMaterial};

/// What Assay prefers; a manifest may choose otherwise.
const PREFERRED: &[(&str, &str)] = &[
    // Its default of 1000 puts the fetcher to sleep and costs 40 % of the rate.
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.wait.max.ms", "10"),
    // Large fetches cost twice the CPU: the buffers leave the caches.
    ("fetch.message.max.bytes", "262144"),
    // The same for what many partitions share; the client begins each fetch with another of them.
    ("fetch.max.bytes", "2097152"),
    // What is fetched ahead: more costs memory, about 600 B a record with librdkafka's own, and gains no rate. Fetching
    // waits while either bound is reached.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "16384"),
    ("reconnect.backoff.max.ms", "2000"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// A key that the manifest may not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spec.kafka.clientConfig sets {0}, which Assay owns; remove it (login belongs into spec.kafka.security)")]
pub struct OwnedKey(String);

/// How to reach and log in to Kafka.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; `None` = PLAINTEXT.
    pub security_protocol: Option<String>,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub sasl_mechanism: Option<String>,
    /// User.
    pub username: Option<Secret>,
    /// Password.
    pub password: Option<Secret>,
    /// Whom to trust, and what to show of oneself.
    pub tls: TlsMaterial,
    /// How the members of a group agree.
    pub group_protocol: GroupProtocol,
    /// librdkafka keys of the manifest.
    pub client_config: BTreeMap<String, String>,
}

impl Connection {
    /// Login and certificates as the environment gives them, for a client without a manifest.
    ///
    /// # Errors
    /// A file cannot be read, or holds something else.
    pub fn login_from_environment() -> Result<Self, SecretError> {
        Ok(Self {
            username: Secret::find("ASSAY_KAFKA_USERNAME")?,
            password: Secret::find("ASSAY_KAFKA_PASSWORD")?,
            tls: TlsMaterial::find("ASSAY_KAFKA", Named::default())?,
            ..Self::default()
        })
    }

    /// Configuration without a group: for metadata and offsets.
    ///
    /// # Errors
    /// The manifest sets a key that Assay owns.
    pub fn client(&self) -> Result<ClientConfig, OwnedKey> {
        let mut config = ClientConfig::new();
        config.set("client.id", "assay");
        config.set("allow.auto.create.topics", "false");
        for (key, value) in PREFERRED {
            config.set(*key, *value);
        }
        for (key, value) in &self.client_config {
            if is_owned_client_key(key) {
                return Err(OwnedKey(key.clone()));
            }
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        self.secure(&mut config);
        Ok(config)
    }

    /// Configuration of a member of a group.
    ///
    /// # Errors
    /// The manifest sets a key that Assay owns.
    pub fn group_member(&self, group: &str) -> Result<ClientConfig, OwnedKey> {
        let mut config = self.client()?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed");
        match self.group_protocol {
            GroupProtocol::Classic => config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", "6000")
                .set("heartbeat.interval.ms", "1000"),
            // Strategy and times are the brokers' there; librdkafka refuses them.
            GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
        };
        Ok(config)
    }

    /// Encryption and login, in librdkafka's words.
    pub(crate) fn secure(&self, config: &mut ClientConfig) {
        let identity = self.tls.identity.as_ref();
        let settings = [
            ("security.protocol", self.security_protocol.as_deref()),
            ("sasl.mechanism", self.sasl_mechanism.as_deref()),
            ("sasl.username", self.username.as_ref().map(Secret::expose)),
            ("sasl.password", self.password.as_ref().map(Secret::expose)),
            ("ssl.ca.pem", self.tls.authority.as_ref().map(Secret::expose)),
            (
                "ssl.certificate.pem",
                identity.map(|identity| identity.certificate.expose()),
            ),
            ("ssl.key.pem", identity.map(|identity| identity.private_key.expose())),
        ];
        for (key, value) in settings {
            if let Some(value) = value {
                config.set(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Identity;

    fn connection(pairs: &[(&str, &str)]) -> Connection {
        let client_config = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Connection {
            bootstrap_servers: "localhost:9092".into(),
            client_config,
            ..Connection::default()
        }
    }

    #[test]
    fn an_owned_key_is_refused_by_name() {
        let error = connection(&[("auto.offset.reset", "earliest")]).client().unwrap_err();
        assert!(error.to_string().contains("auto.offset.reset"));
    }

    #[test]
    fn a_preferred_key_gives_way_to_the_manifest() {
        let config = connection(&[("fetch.wait.max.ms", "50")]).group_member("g").unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("50"));
        assert_eq!(config.get("fetch.queue.backoff.ms"), Some("5"));
    }

    #[test]
    fn where_the_brokers_assign_strategy_and_times_are_left_to_them() {
        let connection = Connection {
            group_protocol: GroupProtocol::Consumer,
            ..connection(&[])
        };
        let config = connection.group_member("g").unwrap();
        assert_eq!(config.get("group.protocol"), Some("consumer"));
        assert_eq!(config.get("partition.assignment.strategy"), None);
        assert_eq!(config.get("session.timeout.ms"), None);
    }

    #[test]
    fn scram_credentials_reach_librdkafka() {
        let scram = Connection {
            security_protocol: Some("SASL_SSL".into()),
            sasl_mechanism: Some("SCRAM-SHA-512".into()),
            username: Some(Secret::new("user")),
            password: Some(Secret::new("pass")),
            ..connection(&[])
        };
        let config = scram.client().unwrap();
        assert_eq!(config.get("sasl.username"), Some("user"));
        assert_eq!(config.get("sasl.password"), Some("pass"));
    }

    #[test]
    fn certificates_reach_librdkafka_as_text() {
        let mutual = Connection {
            tls: TlsMaterial {
                authority: Some(Secret::new("authority")),
                identity: Some(Identity {
                    certificate: Secret::new("certificate"),
                    private_key: Secret::new("key"),
                }),
            },
            ..connection(&[])
        };
        let config = mutual.client().unwrap();
        for (key, wanted) in [
            ("ssl.ca.pem", "authority"),
            ("ssl.certificate.pem", "certificate"),
            ("ssl.key.pem", "key"),
        ] {
            assert_eq!(config.get(key), Some(wanted), "{key}");
        }
    }
}
