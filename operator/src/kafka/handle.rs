//! One broker set under one credential: topics, their settings, log ends. Every call is bounded in time and runs off the runtime.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Mutex;

use super::access::AccessWatch;
use super::config::Connection;
use super::error::KafkaError;
use super::kafka_admin::{self, TopicDescription};
use super::shared::{Answer, Shared};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(8);
/// Log bounds younger than this are not asked for again.
const BOUNDS_AGE: Duration = Duration::from_secs(5);
/// For so long silence is told at once to everybody but one: each silence costs seconds, and a pass that waits for it keeps others from
/// starting.
const SILENCE_AGE: Duration = Duration::from_secs(5);
/// Settings of brokers, which change with a restart, are not asked for again before this.
const BROKERS_AGE: Duration = Duration::from_mins(1);

/// A topic with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFound {
    /// Id, partitions, replication.
    pub description: TopicDescription,
    /// Settings by name; the error where they may not be read.
    pub settings: Result<BTreeMap<String, String>, KafkaError>,
}

/// First offset and end of one partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset that is still there.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
}

/// Bounds by partition; a partition that could not be read is not in the map.
pub type Bounds = BTreeMap<i32, LogBounds>;

/// A topic's log: another id under the same name is another log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Log {
    topic: String,
    id: String,
    partitions: i32,
}

/// Which offset is asked for.
#[derive(Debug, Clone, Copy)]
pub enum OffsetQuestion {
    /// Start of the log.
    Start,
    /// End of the log.
    End,
    /// First record at or after a time, milliseconds since the epoch.
    AtTime(i64),
}

/// A shared handle.
pub struct KafkaHandle {
    admin: AdminClient<DefaultClientContext>,
    access: AccessWatch,
    /// The last answer was silence, and when somebody began to ask last.
    silence: std::sync::Mutex<Option<(Instant, KafkaError)>>,
    topics: Shared<String, TopicFound>,
    bounds: Shared<Log, Bounds>,
    /// Whether brokers create topics by themselves, as last read. Held while it is read: whoever waited finds what the one before read.
    auto_creation: Mutex<Option<(Instant, Option<bool>)>>,
    calls: IntCounterVec,
}

impl KafkaHandle {
    /// Makes the client, which connects when first asked; what was found of a topic is believed for `age`; `calls` counts what is
    /// asked, by call.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn new(connection: &Connection, age: Duration, calls: IntCounterVec) -> Result<Self, KafkaError> {
        let admin = connection.client_config().create();
        Ok(Self {
            admin: admin.map_err(|error| KafkaError::Configuration(error.to_string()))?,
            access: AccessWatch::default(),
            silence: std::sync::Mutex::default(),
            topics: Shared::new(age),
            bounds: Shared::new(BOUNDS_AGE),
            auto_creation: Mutex::default(),
            calls,
        })
    }

    fn client(&self) -> &Client {
        self.admin.inner()
    }

    fn count(&self, call: &str) {
        self.calls.with_label_values(&[call]).inc();
    }

    /// The topic with its settings, as found lately; `None` where it does not exist.
    ///
    /// # Errors
    /// Where Kafka does not answer or denies the description.
    pub async fn topic(self: &Arc<Self>, name: &str) -> Result<Option<TopicFound>, KafkaError> {
        let found = self.topics.get(&name.to_owned(), |names| self.read_topics(names)).await;
        if matches!(found, Ok(None)) {
            self.forget_bounds(name);
        }
        found
    }

    /// The silence that others met lately; one caller after each `SILENCE_AGE` is told nothing, and asks.
    fn silence(&self) -> Option<KafkaError> {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, error) = silence.as_mut()?;
        if asked.elapsed() < SILENCE_AGE {
            return Some(error.clone());
        }
        *asked = Instant::now();
        None
    }

    fn note_silence(&self, silence: Option<&KafkaError>) {
        let known = silence.map(|error| (Instant::now(), error.clone()));
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Has the topic be read anew when it is asked for next.
    pub fn forget(&self, topic: &str) {
        self.topics.forget(|name| name == topic);
    }

    fn forget_bounds(&self, topic: &str) {
        self.bounds.forget(|log| log.topic == topic);
    }

    /// Two questions for all topics.
    async fn read_topics(self: &Arc<Self>, names: Vec<String>) -> BTreeMap<String, Answer<TopicFound>> {
        if let Some(silence) = self.silence() {
            return names.into_iter().map(|name| (name, Err(silence.clone()))).collect();
        }
        self.count("describe_topics");
        let (handle, asked) = (Arc::clone(self), names.clone());
        let described = blocking(move || {
            let described = kafka_admin::describe_topics(handle.client(), &asked, CALL_LIMIT);
            let told = kafka_admin::take_errors(handle.client())?;
            match described {
                Err(error) if error.is_silence() => Err(handle.access.refusal(&told).unwrap_or(error)),
                described => {
                    handle.access.works();
                    described
                }
            }
        });
        let described = described.await;
        self.note_silence(described.as_ref().err().filter(|error| error.is_silence()));
        let described = match described {
            Ok(described) => described,
            Err(error) => return names.into_iter().map(|name| (name, Err(error.clone()))).collect(),
        };
        let there = described.iter().filter(|(_, found)| matches!(found, Ok(Some(_))));
        let mut settings = self.settings_of_topics(there.map(|(name, _)| name.as_str())).await;
        let found = described.into_iter().map(|(name, description)| {
            let description = description.map_err(|error| error.wanting(&format!("DESCRIBE on topic {name}")));
            let settings = settings.remove(&name);
            let found = description.map(|description| {
                description
                    .zip(settings)
                    .map(|(description, settings)| TopicFound { description, settings })
            });
            (name, found)
        });
        found.collect()
    }

    async fn settings_of_topics<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<String, Result<BTreeMap<String, String>, KafkaError>> {
        let names: Vec<&str> = names.collect();
        let topics: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        // Answers come in the order of the questions.
        let answers = match self.settings(&topics).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); names.len()],
        };
        let answers = names.into_iter().zip(answers).map(|(name, answer)| {
            let right = format!("DESCRIBE_CONFIGS on topic {name}");
            (name.to_owned(), answer.map_err(|error| error.wanting(&right)))
        });
        answers.collect()
    }

    /// Whether brokers create topics by themselves, as of the last minute; `None` where that may not be read.
    pub async fn creates_topics_by_itself(self: &Arc<Self>) -> Option<bool> {
        let mut known = self.auto_creation.lock().await;
        if let Some((_, value)) = known.filter(|(read, _)| read.elapsed() < BROKERS_AGE) {
            return value;
        }
        let value = self.read_auto_creation().await;
        *known = Some((Instant::now(), value));
        value
    }

    async fn read_auto_creation(self: &Arc<Self>) -> Option<bool> {
        let handle = Arc::clone(self);
        let broker = blocking(move || Ok(handle.any_broker())).await.ok()??;
        let settings = self.settings(&[ResourceSpecifier::Broker(broker)]).await.ok()?;
        let settings = settings.into_iter().next()?.ok()?;
        Some(settings.get("auto.create.topics.enable")? == "true")
    }

    /// A broker's id.
    fn any_broker(&self) -> Option<i32> {
        self.count("metadata");
        let metadata = self
            .client()
            .fetch_metadata(Some("__consumer_offsets"), Duration::from_secs(2))
            .ok()?;
        metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id)
    }

    /// Settings of each, in the order of the questions.
    async fn settings(
        &self,
        resources: &[ResourceSpecifier<'_>],
    ) -> Result<Vec<Result<BTreeMap<String, String>, KafkaError>>, KafkaError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        self.count("describe_configs");
        let answers = self
            .admin
            .describe_configs(resources, &options())
            .await
            .map_err(|e| KafkaError::from_client(&e))?;
        let settings = answers.into_iter().map(|answer| {
            let resource = answer.map_err(|code| KafkaError::from_code(code, ""))?;
            let named = resource.entries.into_iter();
            Ok(named.filter_map(|entry| Some((entry.name, entry.value?))).collect())
        });
        Ok(settings.collect())
    }

    /// Creates a topic; one that exists already is fine, its form is checked by the next look.
    ///
    /// # Errors
    /// Where Kafka refuses.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication_factor: i32,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), KafkaError> {
        self.count("create_topic");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication_factor));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let answers = self.admin.create_topics([&topic], &options()).await;
        self.forget(name);
        let answers = answers.map_err(|e| KafkaError::from_client(&e))?;
        answers.into_iter().try_for_each(|answer| match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err((_, code)) => Err(KafkaError::from_code(code, "").wanting(&format!("CREATE on topic {name}"))),
        })
    }

    /// Sets the named keys and leaves every other one alone.
    ///
    /// # Errors
    /// Where Kafka refuses.
    pub async fn alter_topic(
        self: &Arc<Self>,
        name: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), KafkaError> {
        self.count("alter_configs");
        let (handle, topic) = (Arc::clone(self), name.to_owned());
        let settings: Vec<(String, String)> = settings.clone().into_iter().collect();
        let altered = blocking(move || {
            kafka_admin::alter_topic_configs(handle.client(), &topic, &settings, CALL_LIMIT)
                .map_err(|error| error.wanting(&format!("ALTER_CONFIGS on topic {topic}")))
        })
        .await;
        self.forget(name);
        altered
    }

    /// Deletes a topic; a missing one is fine.
    ///
    /// # Errors
    /// Where Kafka refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<(), KafkaError> {
        self.count("delete_topic");
        self.forget_bounds(name);
        let answers = self.admin.delete_topics(&[name], &options()).await;
        self.forget(name);
        let answers = answers.map_err(|e| KafkaError::from_client(&e))?;
        answers.into_iter().try_for_each(|answer| match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
            Err((_, code)) => Err(KafkaError::from_code(code, "").wanting(&format!("DELETE on topic {name}"))),
        })
    }

    /// Deletes consumer groups; missing ones are fine.
    ///
    /// # Errors
    /// Where Kafka refuses one.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<(), KafkaError> {
        if groups.is_empty() {
            return Ok(());
        }
        self.count("delete_groups");
        let answers = self
            .admin
            .delete_groups(groups, &options())
            .await
            .map_err(|e| KafkaError::from_client(&e))?;
        answers.into_iter().try_for_each(|answer| match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => Ok(()),
            Err((group, code)) => Err(KafkaError::from_code(code, &format!("group {group}: {code}"))
                .wanting(&format!("DELETE on group {group}"))),
        })
    }

    /// Start and end of each partition's log, at most some seconds old; partitions that could not be read are left out.
    ///
    /// # Errors
    /// Where Kafka does not answer.
    pub async fn bounds(self: &Arc<Self>, topic: &str, description: &TopicDescription) -> Result<Bounds, KafkaError> {
        let log = Log {
            topic: topic.to_owned(),
            id: description.id.clone(),
            partitions: description.partitions,
        };
        let bounds = self.bounds.get(&log, |logs| self.read_bounds(logs)).await;
        Ok(bounds?.unwrap_or_default())
    }

    /// Two questions for all logs.
    async fn read_bounds(self: &Arc<Self>, logs: Vec<Log>) -> BTreeMap<Log, Answer<Bounds>> {
        // Of a topic made anew, the log before may still be among them.
        let mut topics = BTreeMap::new();
        for log in &logs {
            let partitions = topics.entry(log.topic.clone()).or_insert(0);
            *partitions = log.partitions.max(*partitions);
        }
        let handle = Arc::clone(self);
        let read = blocking(move || {
            let starts = handle.read_offsets(&topics, OffsetQuestion::Start)?;
            let ends = handle.read_offsets(&topics, OffsetQuestion::End)?;
            Ok((starts, ends))
        });
        let read = read.await;
        let answer = |log: &Log| {
            let (starts, ends) = read.as_ref().map_err(Clone::clone)?;
            let bounds = (0..log.partitions).filter_map(|partition| {
                let place = (log.topic.clone(), partition);
                let (start, end) = starts.get(&place).zip(ends.get(&place))?;
                let (start, end) = start.zip(*end)?;
                Some((partition, LogBounds { start, end }))
            });
            Ok(Some(bounds.collect()))
        };
        let answers = logs.into_iter().map(|log| {
            let answer = answer(&log);
            (log, answer)
        });
        answers.collect()
    }

    /// One batched question for all partitions of one topic: `None` where no record is at or after the time that was asked for; a
    /// partition that could not be read is not in the map.
    ///
    /// # Errors
    /// Where Kafka does not answer.
    pub async fn offsets(
        self: &Arc<Self>,
        topic: &str,
        partitions: i32,
        question: OffsetQuestion,
    ) -> Result<BTreeMap<i32, Option<i64>>, KafkaError> {
        let handle = Arc::clone(self);
        let topics = BTreeMap::from([(topic.to_owned(), partitions)]);
        let found = blocking(move || handle.read_offsets(&topics, question)).await?;
        Ok(found
            .into_iter()
            .map(|((_, partition), offset)| (partition, offset))
            .collect())
    }

    /// Each element is checked by itself: one unknown partition must not hide the others, nor pass as zero.
    fn read_offsets(&self, topics: &BTreeMap<String, i32>, question: OffsetQuestion) -> Result<Offsets, KafkaError> {
        self.count("list_offsets");
        let asked = match question {
            OffsetQuestion::Start => Offset::Beginning,
            OffsetQuestion::End => Offset::End,
            OffsetQuestion::AtTime(millis) => Offset::Offset(millis),
        };
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                list.add_partition_offset(topic, partition, asked)
                    .map_err(|e| KafkaError::from_client(&e))?;
            }
        }
        match kafka_admin::list_offsets(self.client(), &mut list, CALL_LIMIT) {
            // Said where not one of the partitions is known.
            Err(RDKafkaErrorCode::UnknownPartition) => return Ok(BTreeMap::new()),
            // Said of a topic that is gone and was there at the last question.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) if topics.len() == 1 => return Ok(BTreeMap::new()),
            answer => answer.map_err(|code| KafkaError::from_code(code, ""))?,
        }
        Ok(answers(&list))
    }
}

/// Topic and partition with the offset that was asked for; see [`KafkaHandle::offsets`].
type Offsets = BTreeMap<(String, i32), Option<i64>>;

/// What was answered: an unreadable partition is left out, so that nobody takes it for one without a record at or after the time, which
/// is answered with the log's end.
fn answers(list: &TopicPartitionList) -> Offsets {
    let elements = list.elements();
    let known = elements.iter().filter(|element| element.error().is_ok());
    let answers = known.filter_map(|element| {
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            Offset::End => None,
            _ => return None,
        };
        Some(((element.topic().to_owned(), element.partition()), offset))
    });
    answers.collect()
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(CALL_LIMIT))
        .operation_timeout(Some(CALL_LIMIT))
}

/// Runs a blocking call off the runtime.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or_else(|error| Err(KafkaError::Internal(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_after_the_time_is_not_the_same_as_no_answer() -> Result<(), rdkafka::error::KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in [(0, Offset::Offset(7)), (1, Offset::End), (2, Offset::Invalid)] {
            list.add_partition_offset("raw.trades", partition, offset)?;
        }
        let expected =
            [(0, Some(7)), (1, None)].map(|(partition, offset)| (("raw.trades".to_owned(), partition), offset));
        assert_eq!(answers(&list), BTreeMap::from(expected));
        Ok(())
    }
}
