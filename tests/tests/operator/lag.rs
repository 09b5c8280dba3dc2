//! Lag as real brokers tell it: log end − max(committed progress, log start), and what cannot be known is unknown, never zero.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use assay_crds::RevisionInstance;
use assay_operator::kafka::{Connection, KafkaCredentials, KafkaError, KafkaHandle, KafkaPool};
use assay_operator::scaling;
use assay_operator::store::StoredProgress;
use assay_tests::Kafka;
use assay_tests::kafka::NewRecord;
use assay_tests::scratch::unique;
use prometheus::{IntCounterVec, Opts};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::lab::Lab;

/// One pipeline: what happened to its topic, what its processors committed, and what the operator must say.
struct Case {
    name: &'static str,
    partitions: i32,
    happens: fn(&Stage<'_>) -> Result<()>,
    /// Records that wait, by partition; `None` where that cannot be known.
    waiting: fn(i32) -> Option<i64>,
}

const CASES: &[Case] = &[
    Case {
        name: "nothing-committed",
        partitions: 3,
        happens: |stage| stage.produce(&[(0, 5), (2, 2)]),
        // Partition 1 is idle: nothing in it is nothing that waits.
        waiting: |partition| Some([5, 0, 2][index(partition)]),
    },
    Case {
        name: "committed",
        partitions: 3,
        happens: |stage| {
            stage.produce(&[(0, 9), (1, 9), (2, 9)])?;
            stage.commit(&[(0, 9), (1, 4), (2, 8)])
        },
        waiting: |partition| Some([0, 5, 1][index(partition)]),
    },
    Case {
        name: "committed-below-log-start",
        partitions: 2,
        happens: |stage| {
            stage.produce(&[(0, 10), (1, 10)])?;
            stage.commit(&[(0, 2), (1, 2)])?;
            Kafka::shared()?.delete_records_before(&stage.topic, 0, 6)?;
            Kafka::shared()?.delete_records_before(&stage.topic, 1, 10)
        },
        waiting: |partition| Some([4, 0][index(partition)]),
    },
    Case {
        name: "recreated-topic",
        partitions: 2,
        happens: |stage| {
            stage.produce(&[(0, 7), (1, 3)])?;
            stage.commit(&[(0, 7), (1, 3)])?;
            Kafka::shared()?.start_deleting_topic(&stage.topic)
        },
        waiting: |_| None,
    },
    Case {
        name: "partition-without-progress",
        partitions: 3,
        happens: |stage| {
            stage.produce(&[(0, 2)])?;
            stage.sql("DELETE FROM assay.progress WHERE \"partition\" = 1")
        },
        waiting: |partition| [Some(2), None, Some(0)][index(partition)],
    },
    Case {
        name: "open-transaction",
        partitions: 2,
        happens: |stage| stage.hold_transaction_open(4),
        // A consumer of committed records would see the end at 0, and say that nothing waits.
        waiting: |partition| Some([4, 0][index(partition)]),
    },
    Case {
        name: "one-partition",
        partitions: 1,
        happens: |stage| stage.produce(&[(0, 3)]),
        waiting: |_| Some(3),
    },
    Case {
        name: "many-partitions",
        partitions: 256,
        happens: |stage| {
            let counts: Vec<(i32, usize)> = (0..256).map(|partition| (partition, index(partition % 3))).collect();
            stage.produce(&counts)
        },
        waiting: |partition| Some(i64::from(partition % 3)),
    },
];

fn index(partition: i32) -> usize {
    usize::try_from(partition).unwrap_or_default()
}

impl Case {
    /// What status shows: the total, and the worst ten of those that wait; the first ten that are unknown.
    fn told(&self) -> (Option<i64>, Vec<(i32, i64)>, Vec<i32>) {
        let by_partition = || (0..self.partitions).map(|partition| (partition, (self.waiting)(partition)));
        let mut worst: Vec<(i32, i64)> = by_partition()
            .filter_map(|(p, n)| Some((p, n.filter(|n| *n > 0)?)))
            .collect();
        worst.sort_by_key(|&(partition, records)| (std::cmp::Reverse(records), partition));
        worst.truncate(10);
        let unknown = by_partition().filter(|(_, n)| n.is_none()).map(|(p, _)| p).take(10);
        (by_partition().map(|(_, n)| n).sum(), worst, unknown.collect())
    }
}

/// A case's pipeline with its live revision.
struct Stage<'a> {
    lab: &'a Lab,
    topic: String,
    revision: String,
    transactions: &'a std::cell::RefCell<Vec<BaseProducer>>,
}

impl Stage<'_> {
    fn produce(&self, counts: &[(i32, usize)]) -> Result<()> {
        let record = |partition| NewRecord {
            partition: Some(partition),
            key: b"BTCUSDT".to_vec(),
            value: b"{}".to_vec(),
            timestamp_ms: None,
        };
        let records = counts
            .iter()
            .flat_map(|&(partition, count)| (0..count).map(move |_| record(partition)));
        Kafka::shared()?.produce(&self.topic, records)
    }

    fn commit(&self, offsets: &[(i32, i64)]) -> Result<()> {
        offsets.iter().try_for_each(|(partition, offset)| {
            self.sql(&format!(
                "UPDATE assay.progress SET next_offset = {offset} WHERE \"partition\" = {partition}"
            ))
        })
    }

    /// Runs a statement that ends with a condition, for this revision only.
    fn sql(&self, statement: &str) -> Result<()> {
        let sql = format!("{statement} AND revision = '{}'", self.revision);
        self.lab.database.execute(&sql)
    }

    /// Records in partition 0 that are written and not committed, for as long as the test runs.
    fn hold_transaction_open(&self, records: usize) -> Result<()> {
        let mut config = Kafka::shared()?.client_config();
        config
            .set("transactional.id", &self.topic)
            .set("transaction.timeout.ms", "600000");
        let producer: BaseProducer = config.create()?;
        let limit = Duration::from_secs(30);
        producer.init_transactions(limit)?;
        producer.begin_transaction()?;
        for _ in 0..records {
            let record = BaseRecord::to(&self.topic).partition(0).key("BTCUSDT").payload("{}");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(limit)?;
        self.transactions.borrow_mut().push(producer);
        Ok(())
    }
}

/// Applies every case's pipeline and brings it to life; gives the instances by name.
fn bring_to_life(lab: &Lab) -> Result<BTreeMap<String, RevisionInstance>> {
    for case in CASES {
        let mut manifest = lab.manifest(case.name, &unique(case.name));
        manifest["spec"]["source"]["partitions"] = json!(case.partitions);
        lab.apply(&manifest)?;
    }
    let instances = lab.wait("an instance of each", || {
        Ok(Some(lab.instances()?).filter(|instances| instances.len() == CASES.len()))
    })?;
    for instance in instances.values() {
        lab.register(instance)?;
    }
    for instance in instances.values() {
        lab.until_live(&instance.name, &instance.revision)?;
    }
    Ok(instances
        .into_values()
        .map(|instance| (instance.name.clone(), instance))
        .collect())
}

fn lag_metric(lab: &Lab, name: &str) -> Result<Option<i64>> {
    let page = lab.operator()?.page("/metrics")?;
    let labels = format!("{{namespace=\"{}\",pipeline=\"{name}\"}} ", lab.namespace);
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("assay_operator_lag_records")?.strip_prefix(&labels));
    Ok(line.map(str::parse).transpose()?)
}

#[test]
fn lag_is_what_the_brokers_and_the_store_tell_and_unknown_where_they_do_not() -> Result<()> {
    let lab = Lab::start()?;
    let transactions = std::cell::RefCell::default();
    let instances = bring_to_life(&lab)?;
    for case in CASES {
        let instance = instances.get(case.name).context("its instance")?;
        let stage = Stage {
            lab: &lab,
            topic: instance.topic.clone(),
            revision: instance.revision.clone(),
            transactions: &transactions,
        };
        (case.happens)(&stage).context(case.name)?;
    }
    for case in CASES {
        let (total, worst, unknown) = case.told();
        lab.until(case.name, &format!("{total:?} {worst:?} {unknown:?}"), |pipeline| {
            let lag = pipeline.status.as_ref().and_then(|status| status.lag.as_ref());
            lag.is_some_and(|lag| {
                let shown: Vec<(i32, i64)> = lag.worst.iter().map(|p| (p.partition, p.records)).collect();
                (lag.total == "unknown") == total.is_none() && shown == worst && lag.unknown == unknown
            })
        })?;
        // The metric is not rounded; absent is how it says unknown.
        assert_eq!(lag_metric(&lab, case.name)?, total, "{}", case.name);
    }
    Ok(())
}

fn handle(bootstrap: &str) -> Result<Arc<KafkaHandle>> {
    let spec = serde_json::from_value(json!({"bootstrapServers": bootstrap}))?;
    let calls = IntCounterVec::new(Opts::new("calls", "Calls."), &["call"])?;
    Ok(KafkaPool::new(Duration::ZERO, calls).get(&Connection::new(&spec, &KafkaCredentials::default()))?)
}

/// Lag of a revision that has read nothing of as many partitions.
fn lag_of_all(bounds: &assay_operator::kafka::Bounds, partitions: i32) -> scaling::Lag {
    let row = StoredProgress {
        start_offset: 0,
        live_from_offset: 0,
        next_offset: 0,
        watermark_us: None,
    };
    scaling::lag(
        partitions,
        bounds,
        &(0..partitions).map(|partition| (partition, row)).collect(),
    )
}

#[test]
fn a_missing_partition_is_unknown_and_hides_no_other() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let kafka = handle(&Kafka::shared()?.bootstrap())?;
    let (whole, gone) = (
        Kafka::shared()?.create_topic("whole", 2)?,
        Kafka::shared()?.create_topic("gone", 2)?,
    );
    let describe =
        |topic: &str| -> Result<_> { Ok(runtime.block_on(kafka.topic(topic))?.context("the topic")?.description) };
    let (mut more, lost) = (describe(&whole)?, describe(&gone)?);
    more.partitions = 4;
    Kafka::shared()?.delete_topic(&gone)?;
    let bounds = runtime.block_on(kafka.bounds(&whole, &more))?;
    let lag = lag_of_all(&bounds, 4);
    assert_eq!((lag.known, lag.unknown), (BTreeMap::from([(0, 0), (1, 0)]), vec![2, 3]));
    let lag = lag_of_all(&runtime.block_on(kafka.bounds(&gone, &lost))?, 2);
    assert_eq!((lag.total(), lag.unknown), (None, vec![0, 1]));
    // The one that is gone is remembered by now, and must not spoil the answer for another.
    let third = Kafka::shared()?.create_topic("third", 1)?;
    let lag = lag_of_all(&runtime.block_on(kafka.bounds(&third, &describe(&third)?))?, 1);
    assert_eq!(lag.total(), Some(0));
    Ok(())
}

#[test]
fn brokers_that_do_not_answer_are_an_error_within_a_bound_and_never_a_zero() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let broker = Kafka::start()?;
    let topic = broker.create_topic("away", 1)?;
    let kafka = handle(&broker.bootstrap())?;
    let description = runtime.block_on(kafka.topic(&topic))?.context("the topic")?.description;
    broker.freeze();
    let asked = Instant::now();
    let answer = runtime.block_on(kafka.bounds(&topic, &description));
    assert!(matches!(answer, Err(KafkaError::Unreachable(_))), "{answer:?}");
    ensure!(
        asked.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        asked.elapsed()
    );
    broker.thaw();
    Ok(())
}
