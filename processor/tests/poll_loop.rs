//! The poll loop in a group of two on librdkafka's mock brokers.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assay_processor::ingest::client::Connection;
use assay_processor::ingest::poll::{Change, GroupEvent, PollCommand, PollLoop};
use assay_processor::ingest::rebalance::GroupContext;
use assay_processor::ingest::record_queue::{GroupConsumer, RecordQueue};
use assay_processor::partition::actor::Shared;
use assay_processor::partition::workers::Workers;
use assay_processor::resilience::health::Pulse;
use assay_processor::telemetry::Metrics;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const TOPIC: &str = "raw.trades";
const GROUP: &str = "g";
const PATIENCE: Duration = Duration::from_secs(30);
/// Several times what a member needs to join this group.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// A poll loop on a thread of its own.
struct Member {
    commands: Sender<PollCommand>,
    events: UnboundedReceiver<GroupEvent>,
    thread: JoinHandle<KafkaResult<()>>,
}

impl Member {
    fn start(kafka: &Connection) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let context = GroupContext::new(Arc::clone(&metrics));
        let consumer: GroupConsumer = kafka.group_member(GROUP).unwrap().create_with_context(context).unwrap();
        let consumer = Arc::new(consumer);
        let queues = vec![RecordQueue::new(Arc::clone(&consumer)).unwrap()];
        let shared = Shared {
            metrics,
            events: unbounded_channel().0,
            rows_full: Arc::new(Notify::new()),
            max_rows: 1,
            snapshot_bytes: 1,
        };
        let (workers, _) = Workers::start(&queues, &shared).unwrap();
        let ((commands, obeyed), (told, events)) = (channel(), unbounded_channel());
        let (workers, pulse) = (Arc::new(workers), Arc::new(Pulse::default()));
        let poll_loop = PollLoop::new(consumer, TOPIC.to_owned(), obeyed, told, workers, queues, pulse);
        Self {
            commands,
            events,
            thread: std::thread::spawn(move || poll_loop.run()),
        }
    }

    fn command(&self, command: PollCommand) {
        self.commands.send(command).unwrap();
    }

    /// The event that comes while `other` is polled.
    fn next_event(&mut self, other: &BaseConsumer) -> GroupEvent {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            other.poll(Duration::from_millis(10));
            if let Ok(event) = self.events.try_recv() {
                return event;
            }
        }
        panic!("no event of the group");
    }
}

/// Polls until partitions are assigned, for at most `limit`.
fn wait_for_partitions(consumer: &BaseConsumer, limit: Duration) -> Vec<i32> {
    let deadline = Instant::now() + limit;
    loop {
        consumer.poll(Duration::from_millis(10));
        let assigned = consumer.assignment().unwrap();
        if assigned.count() > 0 || Instant::now() > deadline {
            return assigned
                .elements()
                .iter()
                .map(TopicPartitionListElem::partition)
                .collect();
        }
    }
}

#[test]
fn a_partition_that_stops_meanwhile_does_not_give_away_what_is_still_being_drained() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    let kafka = Connection {
        bootstrap_servers: cluster.bootstrap_servers(),
        ..Connection::default()
    };
    let mut member = Member::start(&kafka);
    let newcomer: BaseConsumer = kafka.group_member(GROUP).unwrap().create().unwrap();
    assert_eq!(member.next_event(&newcomer), GroupEvent::Assigned(vec![0, 1]));

    newcomer.subscribe(&[TOPIC]).unwrap();
    let GroupEvent::Revoked(revoked) = member.next_event(&newcomer) else {
        panic!("the newcomer gets nothing");
    };
    let kept = (0..2).filter(|partition| !revoked.contains(partition)).collect();
    member.command(PollCommand::Change(Change::Halt(kept)));
    assert_eq!(
        wait_for_partitions(&newcomer, LONG_ENOUGH),
        [0; 0],
        "given away before it was drained"
    );

    member.command(PollCommand::Release(revoked.clone(), vec![]));
    assert_eq!(wait_for_partitions(&newcomer, PATIENCE), revoked);
    drop(newcomer);
    member.command(PollCommand::Close(vec![]));
    member.thread.join().unwrap().unwrap();
}
