//! What every projection must do, written once and run against memory and a real Redis server.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_engine::SymbolView;
use assay_processor::latest::{LatestError, LatestState, MemoryLatest, Publish, RedisLatest, RedisOptions};
use assay_processor::tls::TlsMaterial;
use assay_tests::Redis;

const REVISION: &str = "r1a2b3c4-1";

/// A projection under test and a way to lose all of its contents.
struct Fixture {
    latest: Arc<dyn LatestState>,
    lose_everything: Box<dyn Fn() + Send + Sync>,
}

fn memory() -> Fixture {
    let latest = Arc::new(MemoryLatest::default());
    let same = Arc::clone(&latest);
    Fixture {
        latest,
        lose_everything: Box::new(move || same.clear()),
    }
}

/// A server of its own: some contracts flush it or change its settings.
fn redis() -> Fixture {
    let server = Redis::start().unwrap();
    let latest = Arc::new(RedisLatest::new(&options(&server)).unwrap());
    Fixture {
        latest,
        lose_everything: Box::new(move || server.flush().unwrap()),
    }
}

fn options(server: &Redis) -> RedisOptions {
    RedisOptions {
        url: server.url(),
        tls: TlsMaterial::default(),
        key_prefix: "as[s]ay*".into(),
        pipeline: "uid-1".into(),
    }
}

fn view(symbol: &str, version: i64) -> SymbolView {
    SymbolView {
        symbol: symbol.into(),
        version,
        closed_version: version,
        last: vec![
            ("price", format!("{version}.5")),
            ("time_us", "1723078800123456".into()),
        ],
        closed: Arc::new(vec![("vwap", "61671.5516066542".into())]),
    }
}

fn publish(partition: i32, marker: i64, views: Vec<SymbolView>) -> Publish {
    Publish {
        partition,
        marker,
        since: None,
        views,
    }
}

macro_rules! on_both_projections {
    ($($contract:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test] async fn $contract() { super::$contract(&super::memory()).await; })+
        }
        mod in_redis {
            $(#[tokio::test] async fn $contract() { super::$contract(&super::redis()).await; })+
        }
    };
}

on_both_projections!(
    a_publish_writes_values_and_markers,
    a_version_never_falls,
    versions_compare_as_numbers_up_to_the_last_bit,
    a_marker_never_falls,
    a_field_that_is_gone_from_a_newer_view_is_gone,
    everything_lost_is_written_again_by_a_republish,
    the_live_key_names_what_was_set_last,
    retiring_a_revision_deletes_its_keys_and_no_others,
    an_empty_publish_is_nothing,
    changes_alone_do_not_move_a_marker_across_what_is_missing,
);

async fn a_publish_writes_values_and_markers(fixture: &Fixture) {
    let latest = &fixture.latest;
    latest.check().await.unwrap();
    let batch = [
        publish(0, 12, vec![view("BTCUSDT", 10), view("ETH/USD", 11)]),
        publish(3, 7, vec![]),
    ];
    latest.publish(REVISION, &batch).await.unwrap();
    assert_eq!(
        latest.markers(REVISION).await.unwrap(),
        BTreeMap::from([(0, 12), (3, 7)])
    );
    let expected = "BTCUSDT\tprice=10.5\ttime_us=1723078800123456\tversion=10\tvwap=61671.5516066542\n\
                    ETH/USD\tprice=11.5\ttime_us=1723078800123456\tversion=11\tvwap=61671.5516066542\n\
                    markers\t0=12\t3=7\n";
    assert_eq!(latest.dump(REVISION).await.unwrap(), expected);
    assert_eq!(latest.dump("another").await.unwrap(), "");
    assert!(latest.markers("another").await.unwrap().is_empty());
}

async fn a_version_never_falls(fixture: &Fixture) {
    let latest = &fixture.latest;
    latest
        .publish(REVISION, &[publish(0, 20, vec![view("BTCUSDT", 19)])])
        .await
        .unwrap();
    let before = latest.dump(REVISION).await.unwrap();
    for version in [9, 18, 19] {
        let mut stale = view("BTCUSDT", version);
        Arc::make_mut(&mut stale.closed).push(("stale", "yes".into()));
        latest.publish(REVISION, &[publish(0, 20, vec![stale])]).await.unwrap();
    }
    assert_eq!(latest.dump(REVISION).await.unwrap(), before);
}

async fn versions_compare_as_numbers_up_to_the_last_bit(fixture: &Fixture) {
    let rising = [0, 9, 10, 99, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    for version in rising {
        fixture
            .latest
            .publish(REVISION, &[publish(0, version, vec![view("BTCUSDT", version)])])
            .await
            .unwrap();
        assert_eq!(fixture.latest.markers(REVISION).await.unwrap()[&0], version);
        let dump = fixture.latest.dump(REVISION).await.unwrap();
        assert!(dump.contains(&format!("\tversion={version}\t")), "{dump}");
    }
}

async fn a_marker_never_falls(fixture: &Fixture) {
    for marker in [100, 99, 9] {
        fixture
            .latest
            .publish(REVISION, &[publish(1, marker, vec![])])
            .await
            .unwrap();
        assert_eq!(
            fixture.latest.markers(REVISION).await.unwrap(),
            BTreeMap::from([(1, 100)])
        );
    }
}

async fn a_field_that_is_gone_from_a_newer_view_is_gone(fixture: &Fixture) {
    fixture
        .latest
        .publish(REVISION, &[publish(0, 11, vec![view("BTCUSDT", 10)])])
        .await
        .unwrap();
    let bare = SymbolView {
        closed: Arc::default(),
        ..view("BTCUSDT", 11)
    };
    fixture
        .latest
        .publish(REVISION, &[publish(0, 12, vec![bare])])
        .await
        .unwrap();
    let dump = fixture.latest.dump(REVISION).await.unwrap();
    assert!(dump.contains("version=11") && !dump.contains("vwap"), "{dump}");
}

async fn everything_lost_is_written_again_by_a_republish(fixture: &Fixture) {
    let everything: Vec<_> = (0..1_200).map(|index| view(&format!("SYM{index}"), index)).collect();
    let republish = async || {
        for chunk in everything.chunks(500) {
            fixture
                .latest
                .publish(REVISION, &[publish(0, 1_200, chunk.to_vec())])
                .await
                .unwrap();
        }
    };
    republish().await;
    let before = fixture.latest.dump(REVISION).await.unwrap();
    (fixture.lose_everything)();
    assert!(fixture.latest.markers(REVISION).await.unwrap().is_empty());
    republish().await;
    assert_eq!(fixture.latest.dump(REVISION).await.unwrap(), before);
}

async fn the_live_key_names_what_was_set_last(fixture: &Fixture) {
    assert_eq!(fixture.latest.live().await.unwrap(), None);
    for revision in [REVISION, "r2", REVISION] {
        fixture.latest.set_live(revision).await.unwrap();
        assert_eq!(fixture.latest.live().await.unwrap().as_deref(), Some(revision));
    }
}

async fn retiring_a_revision_deletes_its_keys_and_no_others(fixture: &Fixture) {
    let latest = &fixture.latest;
    let longer = format!("{REVISION}0");
    let many: Vec<_> = (0..2_000).map(|index| view(&format!("SYM{index}"), 1)).collect();
    latest.publish(REVISION, &[publish(0, 2, many)]).await.unwrap();
    latest
        .publish(&longer, &[publish(0, 2, vec![view("BTCUSDT", 1)])])
        .await
        .unwrap();
    latest.set_live(&longer).await.unwrap();
    let kept = latest.dump(&longer).await.unwrap();
    latest.retire(REVISION).await.unwrap();
    assert_eq!(latest.dump(REVISION).await.unwrap(), "");
    assert_eq!(latest.dump(&longer).await.unwrap(), kept);
    assert_eq!(latest.live().await.unwrap(), Some(longer));
}

async fn an_empty_publish_is_nothing(fixture: &Fixture) {
    fixture.latest.publish(REVISION, &[]).await.unwrap();
    assert_eq!(fixture.latest.dump(REVISION).await.unwrap(), "");
}

async fn changes_alone_do_not_move_a_marker_across_what_is_missing(fixture: &Fixture) {
    let latest = &fixture.latest;
    let changes = |since, marker| Publish {
        since: Some(since),
        ..publish(0, marker, vec![view("BTCUSDT", marker - 1)])
    };
    latest
        .publish(REVISION, &[publish(0, 9, vec![view("ETHUSDT", 8)])])
        .await
        .unwrap();
    assert!(latest.publish(REVISION, &[changes(9, 12)]).await.unwrap().is_empty());
    (fixture.lose_everything)();
    assert_eq!(
        latest
            .publish(REVISION, &[publish(1, 5, vec![]), changes(12, 15)])
            .await
            .unwrap(),
        [0]
    );
    assert_eq!(latest.markers(REVISION).await.unwrap(), BTreeMap::from([(1, 5)]));
    latest
        .publish(REVISION, &[publish(0, 10, vec![view("ETHUSDT", 8)])])
        .await
        .unwrap();
    assert_eq!(
        latest.publish(REVISION, &[changes(15, 18)]).await.unwrap(),
        [0],
        "10 is behind 15"
    );
    assert_eq!(latest.markers(REVISION).await.unwrap()[&0], 10);
}

#[tokio::test]
async fn redis_and_memory_hold_the_same_after_the_same_publishes() {
    let (first, second) = (memory(), redis());
    for fixture in [&first, &second] {
        for version in [5, 3, 8] {
            let views = vec![view("BTCUSDT", version), view("ETHUSDT", 2 * version)];
            fixture
                .latest
                .publish(REVISION, &[publish(0, version, views)])
                .await
                .unwrap();
        }
    }
    assert_eq!(
        first.latest.dump(REVISION).await.unwrap(),
        second.latest.dump(REVISION).await.unwrap()
    );
}

#[tokio::test]
async fn the_marker_is_written_last() {
    let server = Redis::start().unwrap();
    let latest = RedisLatest::new(&options(&server)).unwrap();
    // A key of another type makes the script fail in the middle of its writes.
    let spoiled = format!("as[s]ay*:{{uid-1}}:{REVISION}:ETHUSDT");
    let _: () = redis::cmd("RPUSH")
        .arg(&spoiled)
        .arg("x")
        .query(&mut server.connection().unwrap())
        .unwrap();
    let batch = [publish(0, 12, vec![view("BTCUSDT", 10), view("ETHUSDT", 11)])];
    assert!(matches!(
        latest.publish(REVISION, &batch).await,
        Err(LatestError::Unavailable(_))
    ));
    assert!(latest.markers(REVISION).await.unwrap().is_empty());
    let _: () = redis::cmd("DEL")
        .arg(&spoiled)
        .query(&mut server.connection().unwrap())
        .unwrap();
    latest.publish(REVISION, &batch).await.unwrap();
    assert_eq!(latest.markers(REVISION).await.unwrap(), BTreeMap::from([(0, 12)]));
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let server = Redis::start().unwrap();
    let latest = RedisLatest::new(&options(&server)).unwrap();
    latest.check().await.unwrap();
    let mut connection = server.connection().unwrap();
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory-policy", "allkeys-lru"])
        .query(&mut connection)
        .unwrap();
    let refusal = latest.check().await;
    assert!(
        matches!(&refusal, Err(LatestError::Evicting(policy)) if policy == "allkeys-lru"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn all_keys_of_a_pipeline_share_one_hash_tag() {
    let server = Redis::start().unwrap();
    let latest = RedisLatest::new(&options(&server)).unwrap();
    latest
        .publish(REVISION, &[publish(0, 2, vec![view("BTCUSDT", 1)])])
        .await
        .unwrap();
    latest.set_live(REVISION).await.unwrap();
    let mut keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query(&mut server.connection().unwrap())
        .unwrap();
    keys.sort();
    let root = "as[s]ay*:{uid-1}";
    let expected = [
        "live".to_owned(),
        format!("{REVISION}:BTCUSDT"),
        format!("{REVISION}:markers"),
    ];
    assert_eq!(keys, expected.map(|last| format!("{root}:{last}")));
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_and_found_again_when_it_is_back() {
    let server = Redis::start().unwrap();
    let latest = RedisLatest::new(&options(&server)).unwrap();
    latest.check().await.unwrap();
    server.kill();
    assert!(matches!(latest.live().await, Err(LatestError::Unavailable(_))));
    server.restart().unwrap();
    let back = async || latest.live().await.is_ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !back().await {
        assert!(std::time::Instant::now() < deadline, "never found again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
