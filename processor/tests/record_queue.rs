//! A worker's queue on librdkafka's mock brokers: what goes in comes out, in order, whatever happens to the assignment.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_processor::ingest::client::Connection;
use assay_processor::ingest::rebalance::GroupContext;
use assay_processor::ingest::record_queue::{FetchError, GroupConsumer, LogMessage, RecordQueue, RecordReader, Route};
use assay_processor::partition::RecordHeaders as _;
use assay_processor::telemetry::Metrics;
use rdkafka::consumer::Consumer as _;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TOPIC: &str = "raw.trades";
const PATIENCE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_millis(10);

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    consumer: Arc<GroupConsumer>,
    queue: Arc<RecordQueue>,
    reader: RecordReader,
}

impl Bench {
    /// Partitions with so many records each; record `n` has the value `n`.
    fn new(partitions: i32, records: usize) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        let kafka = Connection {
            bootstrap_servers: cluster.bootstrap_servers(),
            ..Connection::default()
        };
        let context = GroupContext::new(Arc::new(Metrics::new().unwrap()));
        let consumer = kafka.group_member("g").unwrap().create_with_context(context).unwrap();
        let consumer: Arc<GroupConsumer> = Arc::new(consumer);
        let queue = RecordQueue::new(Arc::clone(&consumer)).unwrap();
        let reader = RecordReader::new(Arc::clone(&queue));
        let bench = Self {
            cluster,
            consumer,
            queue,
            reader,
        };
        let producer = bench.producer();
        for partition in 0..partitions {
            for n in 0..records {
                let value = n.to_string();
                let record = BaseRecord::to(TOPIC).partition(partition).key("k").payload(&value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(PATIENCE).unwrap();
        bench
    }

    fn producer(&self) -> BaseProducer {
        ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .create()
            .unwrap()
    }

    fn assign(&self, partition: i32, offset: i64) -> Route {
        let route = self.queue.route(TOPIC, partition).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, partition, Offset::Offset(offset))
            .unwrap();
        self.consumer.incremental_assign(&list).unwrap();
        route
    }

    fn unassign(&self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition(TOPIC, partition);
        self.consumer.incremental_unassign(&list).unwrap();
    }

    /// Partition and offset of each record, as they come, until there are so many; the error that came instead, if one.
    fn read(&mut self, records: usize, routes: &[Route]) -> Result<Vec<(i32, i64)>, FetchError> {
        let deadline = Instant::now() + PATIENCE;
        let mut read = Vec::new();
        while read.len() < records {
            assert!(
                Instant::now() < deadline,
                "only {} of {records} records came",
                read.len()
            );
            routes.iter().for_each(Route::renew);
            assert!(
                self.consumer.poll(Duration::ZERO).is_none(),
                "a record went past its queue"
            );
            let taken = self.reader.take(WAIT);
            if let Some(error) = taken.iter().find_map(LogMessage::error) {
                return Err(error);
            }
            read.extend(taken.iter().map(|message| (message.partition(), message.offset())));
        }
        Ok(read)
    }
}

fn in_order(partition: i32, offsets: std::ops::Range<i64>) -> Vec<(i32, i64)> {
    offsets.map(|offset| (partition, offset)).collect()
}

#[test]
fn a_record_comes_with_all_its_parts() {
    let mut bench = Bench::new(1, 0);
    let headers = OwnedHeaders::new().insert(Header {
        key: "trace",
        value: Some("ab"),
    });
    let record = BaseRecord::to(TOPIC)
        .partition(0)
        .key("BTC")
        .payload("one")
        .timestamp(7);
    let producer = bench.producer();
    producer
        .send(record.headers(headers))
        .map_err(|(error, _)| error)
        .unwrap();
    producer
        .send(BaseRecord::<(), ()>::to(TOPIC).partition(0))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(PATIENCE).unwrap();
    let _route = bench.assign(0, 0);
    let deadline = Instant::now() + PATIENCE;
    let mut parts = Vec::new();
    while parts.len() < 2 {
        assert!(Instant::now() < deadline);
        parts.extend(bench.reader.take(WAIT).iter().map(|message| {
            let record = message.record();
            (
                record.offset,
                record.key.to_vec(),
                record.value.to_vec(),
                message.json(),
                record.record_time_us,
            )
        }));
    }
    let json = Some(r#"[["trace","YWI="]]"#.to_owned());
    assert_eq!(parts[0], (0, b"BTC".to_vec(), b"one".to_vec(), json, Some(7000)));
    let (offset, key, value, json, _) = &parts[1];
    assert_eq!((*offset, &key[..], &value[..], json), (1, &b""[..], &b""[..], &None));
}

#[test]
fn a_partition_stopped_and_started_again_gives_every_record_from_its_offset() {
    let mut bench = Bench::new(1, 3000);
    for round in 0..40 {
        let from = round * 50;
        let route = [bench.assign(0, from)];
        // A call may give more than was asked for.
        let read = bench.read(200, &route).unwrap();
        assert_eq!(
            read,
            in_order(0, from..from + i64::try_from(read.len()).unwrap()),
            "round {round}"
        );
        bench.unassign(0);
    }
}

#[test]
fn nothing_of_a_stopped_partition_comes_and_the_others_go_on() {
    let mut bench = Bench::new(2, 3000);
    let routes = [bench.assign(0, 0), bench.assign(1, 0)];
    let before = bench.read(100, &routes).unwrap();
    bench.unassign(0);
    let of_other = before.iter().filter(|(partition, _)| *partition == 1).count();
    let after = bench.read(3000 - of_other, &routes[1..]).unwrap();
    assert_eq!(after, in_order(1, i64::try_from(of_other).unwrap()..3000));
}

#[test]
fn an_offset_outside_the_log_is_an_error_in_the_place_of_a_record() {
    let mut bench = Bench::new(2, 10);
    let routes = [bench.assign(0, 0), bench.assign(1, 1_000_000)];
    let error = loop {
        match bench.read(10, &routes) {
            Ok(read) => assert_eq!(read, in_order(0, 0..10)),
            Err(error) => break error,
        }
    };
    assert!(error.is_position_lost() && error.partition == 1, "{error}");
}

#[test]
fn a_woken_reader_returns_before_its_time() {
    let mut bench = Bench::new(1, 0);
    let queue = Arc::clone(&bench.queue);
    let waking = std::thread::spawn(move || queue.wake());
    let started = Instant::now();
    assert!(bench.reader.take(PATIENCE).is_empty());
    assert!(started.elapsed() < PATIENCE);
    waking.join().unwrap();
}

#[test]
fn a_queue_that_nobody_reads_stops_the_fetching_and_loses_nothing() {
    let mut bench = Bench::new(1, 3000);
    let route = [bench.assign(0, 0)];
    let first = bench.read(1, &route).unwrap().len();
    // Events are served while no record is taken: the member stays one.
    for _ in 0..20 {
        assert!(bench.consumer.poll(WAIT).is_none());
    }
    let rest = bench.read(3000 - first, &route).unwrap();
    assert_eq!(rest, in_order(0, i64::try_from(first).unwrap()..3000));
}
