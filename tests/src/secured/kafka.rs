//! A Kafka with rights by user and several ways in: login over TLS, mutual TLS, and one whose certificate has expired.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Authority, Pair, USER, password};
use crate::Kafka;
use crate::kafka::Extras;
use crate::ports::Port;
use crate::scratch::Scratch;

const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A user who may describe topics but not read them, and who may join every group.
pub const NO_READER: &str = "noreader";
/// A user who may read every topic, and who may join no group.
pub const LONER: &str = "loner";
/// A user without any right.
pub const STRANGER: &str = "stranger";
/// A user who may only look.
pub const ONLOOKER: &str = "onlooker";

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// `SASL_SSL`.
    Login,
    /// `SSL` with client certificates.
    Mutual,
    /// `SASL_SSL` with a certificate that has expired.
    Expired,
}

/// See the module.
pub struct SecuredKafka {
    kafka: Kafka,
    ports: [Port; 3],
    // After the broker, which reads its certificates from here.
    _scratch: Scratch,
}

impl SecuredKafka {
    /// Starts a broker with these certificates; clients of the mutual listener have to show one signed by `authority`.
    ///
    /// # Errors
    /// Kafka cannot be installed or does not start in time.
    pub fn start(authority: &Authority, server: &Pair, expired: &Pair) -> Result<Self> {
        let scratch = Scratch::new("secured-kafka")?;
        let write = |name: &str, text: &str| -> Result<String> {
            let path = scratch.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let bundle = |pair: &Pair| format!("{}{}", pair.private_key, pair.certificate);
        let files = Files {
            authority: write("ca.pem", &authority.pem())?,
            server: write("server.pem", &bundle(server))?,
            expired: write("expired.pem", &bundle(expired))?,
        };
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let kafka = Kafka::start_with(&Extras {
            listeners: listeners(&ports),
            properties: properties(&files)?,
            format_arguments: scram_users(),
        })?;
        let secured = Self {
            kafka,
            ports,
            _scratch: scratch,
        };
        secured.grant(&rights())?;
        Ok(secured)
    }

    /// The broker as the tests reach it.
    #[must_use]
    pub fn plain(&self) -> &Kafka {
        &self.kafka
    }

    /// `bootstrap.servers` of a listener, reached as `host`.
    #[must_use]
    pub fn bootstrap(&self, listener: Listener, host: &str) -> String {
        format!("{host}:{}", self.ports[listener as usize].number())
    }

    /// One `CreateAcls` request: neither librdkafka's safe interface nor a quick program of Kafka offers it.
    fn grant(&self, rights: &[Right]) -> Result<()> {
        let mut stream = TcpStream::connect(self.kafka.bootstrap())?;
        stream.set_read_timeout(Some(CALL_LIMIT))?;
        let request = create_acls(rights)?;
        stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
        stream.write_all(&request)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer)?;
        // Correlation id, throttle time, number of results; then for each error code 0 and an empty message.
        ensure!(
            answer.len() == 12 + 4 * rights.len() && answer[12..].iter().all(|byte| *byte == 0),
            "CreateAcls was refused: {answer:?}"
        );
        Ok(())
    }
}

/// Paths.
struct Files {
    authority: String,
    server: String,
    expired: String,
}

fn listeners(ports: &[Port; 3]) -> Vec<String> {
    let named = ["LOGIN", "MUTUAL", "EXPIRED"].iter().zip(ports);
    named
        .map(|(name, port)| format!("{name}://127.0.0.1:{}", port.number()))
        .collect()
}

fn all_users() -> [&'static str; 5] {
    [USER, NO_READER, LONER, STRANGER, ONLOOKER]
}

/// Who comes in through the plain listener, the tests, may do everything; everybody else what is granted.
fn properties(files: &Files) -> Result<String> {
    let mut text = String::from(
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL,EXPIRED:SASL_SSL\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/\n",
    );
    for (listener, keys) in [
        ("login", &files.server),
        ("mutual", &files.server),
        ("expired", &files.expired),
    ] {
        let prefix = format!("listener.name.{listener}");
        writeln!(
            text,
            "{prefix}.ssl.keystore.type=PEM\n{prefix}.ssl.keystore.location={keys}"
        )?;
        writeln!(text, "{prefix}.ssl.truststore.type=PEM")?;
        writeln!(text, "{prefix}.ssl.truststore.location={}", files.authority)?;
    }
    writeln!(text, "listener.name.mutual.ssl.client.auth=required")?;
    let mut users = String::new();
    for user in all_users() {
        write!(users, " user_{user}=\"{}\"", password("kafka"))?;
    }
    let module = "org.apache.kafka.common.security";
    for listener in ["login", "expired"] {
        let prefix = format!("listener.name.{listener}");
        writeln!(
            text,
            "{prefix}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required{users};"
        )?;
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            writeln!(
                text,
                "{prefix}.{mechanism}.sasl.jaas.config={module}.scram.ScramLoginModule required;"
            )?;
        }
    }
    Ok(text)
}

fn scram_users() -> Vec<String> {
    let users = all_users().into_iter();
    users
        .flat_map(|user| ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| (user, mechanism)))
        .flat_map(|(user, mechanism)| {
            let credential = format!("{mechanism}=[name={user},password={}]", password("kafka"));
            ["--add-scram".to_owned(), credential]
        })
        .collect()
}

/// Codes of Kafka's protocol.
const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const PREFIXED: i8 = 4;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;
const DESCRIBE_CONFIGS: i8 = 10;
const ALLOW: i8 = 3;

/// A user may do something to all topics of the tests, or to all groups of the product.
struct Right {
    user: &'static str,
    resource: i8,
    operation: i8,
}

fn rights() -> Vec<Right> {
    [
        (USER, TOPIC, READ),
        (USER, TOPIC, WRITE),
        (USER, GROUP, READ),
        (NO_READER, TOPIC, DESCRIBE),
        (NO_READER, GROUP, READ),
        (LONER, TOPIC, READ),
        (ONLOOKER, TOPIC, DESCRIBE),
        (ONLOOKER, TOPIC, DESCRIBE_CONFIGS),
    ]
    .map(|(user, resource, operation)| Right {
        user,
        resource,
        operation,
    })
    .into()
}

/// `CreateAcls` (key 30), version 1: <https://kafka.apache.org/protocol.html#The_Messages_CreateAcls>.
fn create_acls(rights: &[Right]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for header in [30_i16, 1] {
        bytes.extend(header.to_be_bytes());
    }
    bytes.extend(1_i32.to_be_bytes());
    text(&mut bytes, "tests")?;
    bytes.extend(i32::try_from(rights.len())?.to_be_bytes());
    for right in rights {
        bytes.extend(right.resource.to_be_bytes());
        text(&mut bytes, if right.resource == TOPIC { "trades" } else { "assay" })?;
        bytes.extend(PREFIXED.to_be_bytes());
        text(&mut bytes, &format!("User:{}", right.user))?;
        text(&mut bytes, "*")?;
        bytes.extend(right.operation.to_be_bytes());
        bytes.extend(ALLOW.to_be_bytes());
    }
    Ok(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    bytes.extend(i16::try_from(text.len())?.to_be_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}
