//! What only a server can do: hold locks, cut connections, refuse rights.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_processor::stores::{PostgresOptions, PostgresStore, ResultStore, StoreError};
use assay_tests::proxy::{Loss, Protocol};
use assay_tests::{Database, Postgres, Proxy};
use sqlx::{Connection, Executor, PgConnection};

use super::fixture::{self, PIPELINE, REVISION, START, full_step};

/// A session that holds the lock of partition 0 and will not let go by itself.
async fn stuck_transaction(database: &Database) -> PgConnection {
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    session
        .execute("BEGIN; UPDATE results.progress SET epoch = epoch WHERE \"partition\" = 0")
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn a_takeover_ends_the_backend_that_keeps_it_waiting() {
    let fixture = fixture::postgres().await;
    let mut stuck = stuck_transaction(fixture.database.as_ref().unwrap()).await;
    let begun = Instant::now();
    assert_eq!(fixture.take_over(0, 7).await.fence.epoch, 1);
    let waited = begun.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(4)).contains(&waited),
        "waited {waited:?}"
    );
    assert!(stuck.execute("COMMIT").await.is_err(), "the stuck session lives");
}

#[tokio::test]
async fn several_takeovers_behind_one_stuck_transaction_all_get_through() {
    let fixture = Arc::new(fixture::postgres().await);
    let _stuck = stuck_transaction(fixture.database.as_ref().unwrap()).await;
    let attempt = |nonce| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.take_over(0, nonce).await.fence.epoch })
    };
    let attempts = [attempt(1), attempt(2), attempt(3)];
    let mut epochs = Vec::new();
    for attempt in attempts {
        epochs.push(attempt.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3]);
}

#[tokio::test]
async fn a_commit_that_waited_behind_a_takeover_moves_nothing() {
    let fixture = Arc::new(fixture::postgres().await);
    let fence = fixture.take_over(0, 7).await.fence;
    let url = fixture.database.as_ref().unwrap().url();
    let mut rival = PgConnection::connect(&url).await.unwrap();
    // Not the rival: inside a transaction, a session sees the activity of its first look for ever.
    let mut watcher = PgConnection::connect(&url).await.unwrap();
    rival
        .execute("BEGIN; UPDATE results.progress SET epoch = epoch + 1 WHERE \"partition\" = 0")
        .await
        .unwrap();
    let waiting = {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.store.commit(&[full_step(&fence, START, 120)]).await })
    };
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%advanced%' \
                   AND datname = current_database()";
    let deadline = Instant::now() + Duration::from_secs(8);
    while sqlx::query_scalar::<_, i64>(blocked)
        .fetch_one(&mut watcher)
        .await
        .unwrap()
        == 0
    {
        assert!(Instant::now() < deadline, "the commit never waited");
        tokio::task::yield_now().await;
    }
    rival.execute("COMMIT").await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_empty());
    assert!(fixture.rows("forecasts").await.is_empty());
}

#[tokio::test]
async fn commits_of_many_owners_at_once_neither_deadlock_nor_double() {
    let fixture = Arc::new(fixture::postgres().await);
    let mut owners = Vec::new();
    for nonce in 0..4 {
        let fixture = Arc::clone(&fixture);
        owners.push(tokio::spawn(async move { race(&fixture, nonce).await }));
    }
    for owner in owners {
        owner.await.unwrap();
    }
    for partition in 0..3 {
        let moved = fixture.progress(partition).await.next_offset - START;
        let letters = fixture.rows("dead_letters").await;
        let own = letters
            .iter()
            .filter(|line| line.starts_with(&format!("dead_letters\t{partition}\t")))
            .count();
        assert_eq!(i64::try_from(own).unwrap(), moved, "partition {partition}");
    }
}

/// Takes all partitions over and commits single steps in an order of its own, again and again.
async fn race(fixture: &fixture::Fixture, nonce: i64) {
    for _ in 0..10 {
        let mut steps = Vec::new();
        for partition in [2, 0, 1] {
            let taken = fixture.take_over(partition, nonce).await;
            steps.push(full_step(&taken.fence, taken.next_offset, taken.next_offset + 1));
        }
        steps.rotate_left(usize::try_from(nonce % 3).unwrap());
        fixture.store.commit(&steps).await.unwrap();
    }
}

#[tokio::test]
async fn a_reply_lost_on_the_way_is_unavailable_and_progress_tells_that_it_happened() {
    let database = fixture::database().await;
    let proxy = Proxy::start(Postgres::shared().unwrap().port(), Protocol::Postgres).unwrap();
    let store = through(&proxy, &database);
    store.register(&fixture::registration(), false).await.unwrap();
    let fence = store.take_over(PIPELINE, REVISION, 0, 7).await.unwrap().fence;
    for (loss, from, stands_at) in [(Loss::Reply, START, 120), (Loss::Request, 120, 120)] {
        proxy.lose("new_dead_letters", loss, 1);
        let answer = store.commit(&[full_step(&fence, from, from + 20)]).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        let progress = store.progress(PIPELINE, REVISION).await.unwrap().swap_remove(0);
        assert_eq!((progress.next_offset, &progress.fence), (stands_at, &fence), "{loss:?}");
    }
    assert_eq!(proxy.lost(), 2);
    assert_eq!(store.commit(&[full_step(&fence, 120, 140)]).await.unwrap(), [0]);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_unavailable_within_the_bound() {
    let database = fixture::database().await;
    let proxy = Proxy::start(Postgres::shared().unwrap().port(), Protocol::Postgres).unwrap();
    let store = through(&proxy, &database);
    store.check().await.unwrap();
    proxy.silence();
    let begun = Instant::now();
    let answer = store.check().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    // To connect and to answer have a bound each.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    proxy.pass();
    store.check().await.unwrap();
}

fn through(proxy: &Proxy, database: &Database) -> PostgresStore {
    let url = database.url_through(proxy.port());
    PostgresStore::new(&PostgresOptions {
        statement_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        ..PostgresOptions::new(url, "results")
    })
    .unwrap()
}

#[tokio::test]
async fn an_empty_database_is_outdated_until_it_is_migrated_once_by_any_of_several() {
    let database = Postgres::shared().unwrap().create_database().unwrap();
    let options = fixture::options(&database);
    let store = PostgresStore::new(&options).unwrap();
    assert!(matches!(
        store.check().await,
        Err(StoreError::SchemaOutdated { found: 0, .. })
    ));
    let (first, second) = tokio::join!(PostgresStore::migrate(&options), PostgresStore::migrate(&options));
    let applied = [first.unwrap(), second.unwrap()].concat();
    store.check().await.unwrap();
    assert!(!applied.is_empty());
    assert!(
        applied.windows(2).all(|pair| pair[0] < pair[1]),
        "applied twice: {applied:?}"
    );
    assert!(PostgresStore::migrate(&options).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_printed_sql_does_what_the_migration_does() {
    let database = Postgres::shared().unwrap().create_database().unwrap();
    let options = fixture::options(&database);
    database
        .execute(&PostgresStore::pending_sql(&options).await.unwrap())
        .unwrap();
    PostgresStore::new(&options).unwrap().check().await.unwrap();
    assert!(
        PostgresStore::migrate(&options).await.unwrap().is_empty(),
        "the migration found something left to do"
    );
    assert!(
        !PostgresStore::pending_sql(&options)
            .await
            .unwrap()
            .contains("CREATE TABLE progress")
    );
}

#[tokio::test]
async fn a_role_without_rights_has_no_access_and_its_password_stays_unsaid() {
    let database = Postgres::shared().unwrap().create_database().unwrap();
    let role = format!("reader_{}", database.name());
    database
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'"))
        .unwrap();
    let url = database.url().replace("assay@", &format!("{role}:hunter2@"));
    let options = PostgresOptions::new(url, "results");
    let refusal = PostgresStore::migrate(&options).await.unwrap_err();
    assert!(matches!(refusal, StoreError::NoAccess(_)), "{refusal}");
    assert!(!format!("{refusal} {refusal:?} {options:?}").contains("hunter2"));
}

#[tokio::test]
async fn two_schemas_of_one_database_keep_apart() {
    let fixture = fixture::postgres().await;
    let options = PostgresOptions::new(fixture.database.as_ref().unwrap().url(), "Other \"schema\"");
    PostgresStore::migrate(&options).await.unwrap();
    let other = PostgresStore::new(&options).unwrap();
    assert_eq!(other.registration(PIPELINE, REVISION).await.unwrap(), None);
    assert!(fixture.store.registration(PIPELINE, REVISION).await.unwrap().is_some());
}
