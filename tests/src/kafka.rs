//! A real Kafka broker (one process, its own controller) and what tests ask of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::once::Once;
use crate::ports::Port;
use crate::process::Process;
use crate::scratch::{Scratch, unique};
use crate::wait;

const START_LIMIT: Duration = Duration::from_mins(1);
const CALL_LIMIT: Duration = Duration::from_secs(20);

const SERVER_PROPERTIES: &str = include_str!("../../deploy/local/kafka/server.properties");

/// A killed broker's registration must lapse before it may come back; nine seconds is the default.
const QUICK_RESTART: &str = "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=400\n";

/// A broker with a data folder of its own.
#[derive(Debug)]
pub struct Kafka {
    // Before the folder: the process ends first.
    process: Mutex<Process>,
    scratch: Scratch,
    port: Port,
    _controller_port: Port,
    home: PathBuf,
}

/// What a broker has beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Further listeners, such as `SECURE://127.0.0.1:9093`.
    pub listeners: Vec<String>,
    /// Lines of `server.properties`; they win over the usual ones.
    pub properties: String,
    /// Arguments of `kafka-storage format`.
    pub format_arguments: Vec<String>,
}

/// A record to produce; time in milliseconds, the broker's clock where `None`.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// The partition; chosen from the key where `None`.
    pub partition: Option<i32>,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Record time, milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

impl Kafka {
    /// Starts a broker and waits until it answers.
    ///
    /// # Errors
    /// Kafka cannot be installed or does not start in time.
    pub fn start() -> Result<Self> {
        Self::start_with(&Extras::default())
    }

    /// Starts a broker that has more than the one plain listener which the tests themselves use.
    ///
    /// # Errors
    /// Kafka cannot be installed or does not start in time.
    pub fn start_with(extras: &Extras) -> Result<Self> {
        let (home, scratch) = (kafka_home()?, Scratch::new("kafka")?);
        let (port, controller_port) = (Port::reserve()?, Port::reserve()?);
        write_properties(&scratch, &port, &controller_port, extras)?;
        format_storage(&home, &scratch, &extras.format_arguments)?;
        let process = Mutex::new(spawn(&home, &scratch)?);
        let kafka = Self {
            process,
            scratch,
            port,
            _controller_port: controller_port,
            home,
        };
        kafka.wait_until_ready()?;
        Ok(kafka)
    }

    /// The broker that all tests of this process share; they keep apart by topic and group.
    ///
    /// # Errors
    /// It could not be started.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Once<Kafka> = Once::new();
        SHARED.get(Self::start)
    }

    /// `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Kills the broker as a power cut would.
    pub fn kill(&self) {
        self.with_process(Process::kill);
    }

    /// Freezes the broker: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.with_process(|process| process.freeze());
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.with_process(|process| process.thaw());
    }

    /// Starts a killed broker again on the same ports and data, and waits until it answers.
    ///
    /// # Errors
    /// It does not come back in time.
    pub fn restart(&self) -> Result<()> {
        self.kill();
        let process = spawn(&self.home, &self.scratch)?;
        self.with_process(|old| *old = process);
        self.wait_until_ready()
    }

    /// A client configuration that points here.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // A broker that is down is part of many tests: librdkafka shall not fill their output with it.
        config
            .set("bootstrap.servers", self.bootstrap())
            .set("log_level", "0")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Creates a topic with a name of its own that begins with `prefix`.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn create_topic(&self, prefix: &str, partitions: i32) -> Result<String> {
        self.create_topic_with(&unique(prefix), partitions, &[])
    }

    /// Creates the topic `name` with settings such as `("retention.ms", "1000")`.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<String> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin()?;
        let results = block_on(admin.create_topics([&topic], &admin_options()))??;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot create {topic}: {code}"))?;
        }
        self.wait_for_partitions(name, usize::try_from(partitions)?)?;
        Ok(name.to_owned())
    }

    /// Deletes a topic and waits until it is gone.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.start_deleting_topic(name)?;
        self.wait_for_partitions(name, 0)
    }

    /// Deletes a topic that somebody may create again before anyone sees it gone.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn start_deleting_topic(&self, name: &str) -> Result<()> {
        let results = block_on(self.admin()?.delete_topics(&[name], &admin_options()))??;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot delete {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Adds partitions up to `total`.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn grow_topic(&self, name: &str, total: usize) -> Result<()> {
        let growth = rdkafka::admin::NewPartitions::new(name, total);
        for result in block_on(self.admin()?.create_partitions([&growth], &admin_options()))?? {
            result.map_err(|(topic, code)| anyhow!("cannot grow {topic}: {code}"))?;
        }
        self.wait_for_partitions(name, total)
    }

    /// Deletes the records of a partition below `offset`, as retention does.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset))?;
        let deleted = block_on(self.admin()?.delete_records(&list, &admin_options()))??;
        for element in deleted.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// A producer to be kept for many batches.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn producer(&self) -> Result<Producer> {
        let mut config = self.client_config();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.max.bytes", "20000000");
        Ok(Producer(config.create()?))
    }

    /// Produces records in order and waits until all are acknowledged.
    ///
    /// # Errors
    /// A record was not taken.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> Result<()> {
        self.producer()?.produce(topic, records)
    }

    /// First offset and end of a partition.
    ///
    /// # Errors
    /// The topic is unknown or the broker does not answer.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        Ok(self.consumer()?.fetch_watermarks(topic, partition, CALL_LIMIT)?)
    }

    /// Keys and values of a partition from its start to its end, as text.
    ///
    /// # Errors
    /// The topic is unknown or the broker does not answer.
    pub fn read_all(&self, topic: &str, partition: i32) -> Result<Vec<(String, String)>> {
        let (start, end) = self.watermarks(topic, partition)?;
        let consumer: BaseConsumer = self.client_config().set("group.id", topic).create()?;
        let mut from_start = TopicPartitionList::new();
        from_start.add_partition_offset(topic, partition, Offset::Offset(start))?;
        consumer.assign(&from_start)?;
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let mut records = Vec::new();
        for _ in start..end {
            let record = consumer.poll(CALL_LIMIT).context("the partition ends early")??;
            records.push((text(record.key()), text(record.payload())));
        }
        Ok(records)
    }

    /// The log's end of every partition.
    ///
    /// # Errors
    /// The topic is unknown or the broker does not answer.
    pub fn log_ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let consumer = self.consumer()?;
        (0..partitions)
            .map(|partition| Ok(consumer.fetch_watermarks(topic, partition, CALL_LIMIT)?.1))
            .collect()
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client_config().create()?)
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        Ok(self.client_config().create()?)
    }

    fn wait_for_partitions(&self, topic: &str, wanted: usize) -> Result<()> {
        let consumer = self.consumer()?;
        wait::until(CALL_LIMIT, &format!("{wanted} partitions of {topic}"), || {
            let metadata = consumer.fetch_metadata(None, CALL_LIMIT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let led = found.map_or(0, |found| found.partitions().iter().filter(|p| p.leader() >= 0).count());
            Ok((led == wanted).then_some(()))
        })
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait::until_ok(START_LIMIT, "Kafka to answer", || {
            self.with_process(Process::ensure_running)?;
            let metadata = self.consumer()?.fetch_metadata(None, Duration::from_secs(1))?;
            ensure!(!metadata.brokers().is_empty(), "no broker is registered yet");
            Ok(())
        })
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        // A poisoned lock means a test panicked; the process is as good as before.
        act(&mut self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Runs an admin call to its end; on a thread of its own, since the caller may be inside a runtime.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(future))
            .join()
            .map_err(|_| anyhow!("the admin call panicked"))
    })
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(CALL_LIMIT))
        .operation_timeout(Some(CALL_LIMIT))
}

/// An idempotent producer.
pub struct Producer(ThreadedProducer<DefaultProducerContext>);

impl Producer {
    /// Produces records in order and waits until all are acknowledged.
    ///
    /// # Errors
    /// A record was not taken.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> Result<()> {
        for record in records {
            send(&self.0, topic, &record)?;
        }
        self.0.flush(START_LIMIT).context("not every record was acknowledged")?;
        ensure!(self.0.in_flight_count() == 0, "records are still in flight");
        Ok(())
    }
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, record: &NewRecord) -> Result<()> {
    wait::until(START_LIMIT, "room in the producer's queue", || {
        let mut message = BaseRecord::to(topic).key(&record.key).payload(&record.value);
        message.partition = record.partition;
        message.timestamp = record.timestamp_ms;
        match producer.send(message) {
            Ok(()) => Ok(Some(())),
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => Ok(None),
            Err((error, _)) => Err(error.into()),
        }
    })
}

/// The folder of Kafka's jars, installed if it is not there yet.
fn kafka_home() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/install");
    let output = Command::new(&script)
        .arg("kafka")
        .output()
        .context("cannot run deploy/local/install")?;
    ensure!(
        output.status.success(),
        "deploy/local/install failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout)?;
    Ok(PathBuf::from(
        printed
            .lines()
            .last()
            .context("deploy/local/install printed no folder")?,
    ))
}

fn write_properties(scratch: &Scratch, port: &Port, controller_port: &Port, extras: &Extras) -> Result<()> {
    let plain = format!("PLAINTEXT://127.0.0.1:{}", port.number());
    let listeners: Vec<&str> = std::iter::once(plain.as_str())
        .chain(extras.listeners.iter().map(String::as_str))
        .collect();
    let values = HashMap::from([
        ("@LISTENERS@", listeners.join(",")),
        ("@CONTROLLER_PORT@", controller_port.number().to_string()),
        ("@DATA@", scratch.path().join("data").display().to_string()),
    ]);
    let filled = values.iter().fold(SERVER_PROPERTIES.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    });
    Ok(std::fs::write(
        scratch.path().join("server.properties"),
        filled + QUICK_RESTART + &extras.properties,
    )?)
}

fn java(home: &Path, scratch: &Scratch, class: &str) -> Command {
    let log4j = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/kafka/log4j2.properties");
    let mut command = Command::new("java");
    // The first compiler tier halves the start; a test broker never runs long enough for the second to pay.
    command.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", log4j.display()));
    command.arg("-cp").arg(format!("{}/lib/*", home.display())).arg(class);
    command.current_dir(scratch.path());
    command
}

fn format_storage(home: &Path, scratch: &Scratch, arguments: &[String]) -> Result<()> {
    let mut command = java(home, scratch, "kafka.tools.StorageTool");
    // 22 characters of URL-safe base64, the last of which carries two bits only.
    let cluster_id: String = (0..21)
        .map(|_| char::from(b'a' + rand::random_range(0..26_u8)))
        .collect();
    let output = command
        .args(["format", "-c", "server.properties", "-t"])
        .arg(cluster_id + "A")
        .args(arguments)
        .output()?;
    ensure!(
        output.status.success(),
        "cannot format Kafka's storage: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn spawn(home: &Path, scratch: &Scratch) -> Result<Process> {
    let mut command = java(home, scratch, "kafka.Kafka");
    command.arg("server.properties");
    Process::spawn("Kafka", command, &scratch.path().join("log"))
}
