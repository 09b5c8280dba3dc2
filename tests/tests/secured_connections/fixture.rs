//! The servers, started once, and processors that get in, or almost.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use assay_tests::once::Once;
use assay_tests::pipeline::Pipeline;
use assay_tests::processor::{Processor, binary};
use assay_tests::scratch::Scratch;
use assay_tests::secured::{
    Authority, Listener, PASSWORD_MARK, Pair, SecuredKafka, SecuredPostgres, SecuredRedis, USER, Validity, password,
};
use assay_tests::{Database, Kafka};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_mins(1);
/// The servers' certificates hold this name, and not `localhost`.
pub const HOST: &str = "127.0.0.1";

/// Who signed what.
pub struct Certificates {
    pub authority: Authority,
    /// Signs nothing that the servers show or accept.
    pub other: Authority,
    pub server: Pair,
    pub expired: Pair,
    pub client: Pair,
    /// In the same name, signed by the other authority.
    pub forged: Pair,
}

pub fn certificates() -> Result<&'static Certificates> {
    static CERTIFICATES: Once<Certificates> = Once::new();
    CERTIFICATES.get(|| {
        let (authority, other) = (Authority::new("authority")?, Authority::new("other authority")?);
        Ok(Certificates {
            server: authority.sign("server", &[HOST], Validity::Long)?,
            expired: authority.sign("server", &[HOST], Validity::Expired)?,
            client: authority.sign(USER, &[], Validity::Long)?,
            forged: other.sign(USER, &[], Validity::Long)?,
            authority,
            other,
        })
    })
}

pub fn kafka() -> Result<&'static SecuredKafka> {
    static KAFKA: Once<SecuredKafka> = Once::new();
    let known = certificates()?;
    KAFKA.get(|| SecuredKafka::start(&known.authority, &known.server, &known.expired))
}

pub fn postgres() -> Result<&'static SecuredPostgres> {
    static POSTGRES: Once<SecuredPostgres> = Once::new();
    let known = certificates()?;
    POSTGRES.get(|| SecuredPostgres::start(&known.authority, &known.server))
}

pub fn redis() -> Result<&'static SecuredRedis> {
    static REDIS: Once<SecuredRedis> = Once::new();
    let known = certificates()?;
    REDIS.get(|| SecuredRedis::start(&known.authority, &known.server))
}

/// What a program is told to get in: the manifest's part and the environment's. A test spoils one piece of it.
pub struct Access {
    bootstrap: String,
    security: Option<Value>,
    variables: BTreeMap<String, String>,
    folder: Scratch,
}

impl Access {
    /// To the broker's plain listener, to an embedded store and to memory.
    pub fn plain() -> Result<Self> {
        let folder = Scratch::new("access")?;
        let access = Self {
            bootstrap: kafka()?.plain().bootstrap(),
            security: None,
            variables: BTreeMap::new(),
            folder,
        };
        let store = format!("sqlite:{}", access.folder.path().join("results.db").display());
        Ok(access
            .with("ASSAY_POSTGRES_URL", &store)
            .with("ASSAY_REDIS_URL", "memory:"))
    }

    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, variable: &str) -> Self {
        self.variables.remove(variable);
        self
    }

    fn with_certificates(self, server: &str, client: Option<&Pair>) -> Result<Self> {
        let access = self.with(&format!("ASSAY_{server}_CA"), &certificates()?.authority.pem());
        Ok(match client {
            Some(pair) => access.with_client(server, pair),
            None => access,
        })
    }

    /// Shows another certificate.
    pub fn with_client(self, server: &str, pair: &Pair) -> Self {
        self.with(&format!("ASSAY_{server}_CERTIFICATE"), &pair.certificate)
            .with(&format!("ASSAY_{server}_PRIVATE_KEY"), &pair.private_key)
    }

    /// Trusts the other authority only.
    pub fn trusting_the_other(self, server: &str) -> Result<Self> {
        Ok(self.with(&format!("ASSAY_{server}_CA"), &certificates()?.other.pem()))
    }

    pub fn at(mut self, listener: Listener, host: &str) -> Result<Self> {
        self.bootstrap = kafka()?.bootstrap(listener, host);
        Ok(self)
    }

    /// Over `SASL_SSL`.
    pub fn kafka_login(mut self, mechanism: &str) -> Result<Self> {
        self.security = Some(json!({
            "protocol": "SASL_SSL",
            "mechanism": mechanism,
            "credentialsSecret": {"name": "kafka-user"},
            "caSecret": {"name": "kafka-ca", "key": "ca.crt"},
        }));
        self.at(Listener::Login, HOST)?
            .with("ASSAY_KAFKA_USERNAME", USER)
            .with("ASSAY_KAFKA_PASSWORD", &password("kafka"))
            .with_certificates("KAFKA", None)
    }

    /// Over `SSL`, on which the client shows a certificate, or should.
    pub fn kafka_mutual(mut self, client: Option<&Pair>) -> Result<Self> {
        let mut security = json!({"protocol": "SSL", "caSecret": {"name": "kafka-ca", "key": "ca.crt"}});
        if client.is_some() {
            security["clientCertificateSecret"] = json!({"name": "kafka-user"});
        }
        self.security = Some(security);
        self.at(Listener::Mutual, HOST)?.with_certificates("KAFKA", client)
    }

    pub fn postgres(self, database: &Database, host: &str) -> Result<Self> {
        self.with(
            "ASSAY_POSTGRES_URL",
            &postgres()?.url(database, host, &password("postgres")),
        )
        .with_certificates("POSTGRES", Some(&certificates()?.client))
    }

    pub fn redis(self, host: &str) -> Result<Self> {
        self.with("ASSAY_REDIS_URL", &redis()?.url(USER, &password("redis"), host))
            .with_certificates("REDIS", Some(&certificates()?.client))
    }

    /// The same out of files, as in a pod.
    pub fn out_of_files(mut self) -> Result<Self> {
        for (variable, value) in std::mem::take(&mut self.variables) {
            let path = self.folder.path().join(&variable);
            std::fs::write(&path, value)?;
            self.variables
                .insert(format!("{variable}_FILE"), path.display().to_string());
        }
        Ok(self)
    }

    /// A topic and a manifest.
    pub fn pipeline(&self) -> Result<Pipeline<&'static Kafka>> {
        let pipeline = Pipeline::create(kafka()?.plain(), 1)?;
        pipeline.change_manifest(|manifest| {
            let mut kafka = json!({"bootstrapServers": self.bootstrap});
            if let Some(security) = &self.security {
                kafka["security"] = security.clone();
            }
            manifest["spec"]["kafka"] = kafka;
        })?;
        Ok(pipeline)
    }

    /// Starts a processor that waits for one second where something is away.
    pub fn start(&self, pipeline: &Pipeline<&Kafka>) -> Result<Processor> {
        let log = self.folder.path().join("processor.log");
        let configure = |command: &mut std::process::Command, admin: u16| {
            command.arg("run").arg("--pipeline").arg(pipeline.manifest());
            command.args(["--patience", "1", "--admin", &format!("127.0.0.1:{admin}")]);
            command.envs(&self.variables);
        };
        Processor::start("processor", configure, &log)
    }

    /// Runs a processor that does not start: its exit code and last words.
    pub fn refusal(&self) -> Result<Refusal> {
        let pipeline = self.pipeline()?;
        let mut processor = self.start(&pipeline)?;
        let status = processor.process().wait(LIMIT)?;
        let log = processor.process().log()?;
        ensure_hidden("log", &log)?;
        Refusal::new(status.code(), &log)
    }

    /// Runs another command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = std::process::Command::new(binary()?)
            .args(arguments)
            .envs(&self.variables)
            .output()?;
        ensure_hidden("standard output", &String::from_utf8_lossy(&output.stdout))?;
        ensure_hidden("standard error", &String::from_utf8_lossy(&output.stderr))?;
        Ok(output)
    }

    /// The bootstrap servers, for commands without a manifest.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// How a program ended.
pub struct Refusal {
    code: i32,
    words: String,
}

impl Refusal {
    fn new(code: Option<i32>, log: &str) -> Result<Self> {
        let log = format!("\n{log}");
        let (_, words) = log.rsplit_once("\nerror: ").context("no error was told")?;
        Ok(Self {
            code: code.context("ended by a signal")?,
            words: words.trim().to_owned(),
        })
    }

    pub fn of(output: &Output) -> Result<Self> {
        Self::new(output.status.code(), &String::from_utf8_lossy(&output.stderr))
    }

    /// Asserts the exit code and that the last words hold every part: what is wrong, and which setting.
    #[track_caller]
    pub fn assert(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.words);
        for part in parts {
            assert!(self.words.contains(part), "{part:?} is missing in: {}", self.words);
        }
    }
}

/// No password and no private key stands in a text.
pub fn ensure_hidden(place: &str, text: &str) -> Result<()> {
    ensure!(!text.contains(PASSWORD_MARK), "{place} shows a password");
    let known = certificates()?;
    for pair in [&known.client, &known.forged] {
        let secret = pair.private_key.lines().nth(1).context("a line of the key")?;
        ensure!(!text.contains(secret), "{place} shows a private key");
    }
    Ok(())
}

/// Succeeds, or tells why not.
pub fn ensure_success(output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
