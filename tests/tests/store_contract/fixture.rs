//! A store with one registered revision, and rows to put into it.

use std::sync::Arc;

use assay_engine::{Counters, Fault, Forecast, Outcome, OutcomeKind};
use assay_processor::stores::{
    Advance, DeadLetter, Fence, PostgresOptions, PostgresStore, Progress, Registration, ResultStore, SqliteStore,
    StartOffsets,
};
use assay_tests::{Database, Postgres};

pub(crate) const PIPELINE: &str = "6b1f0d52-8a35-4b0e-9a2e-1c1f4a7f0001";
pub(crate) const REVISION: &str = "r1a2b3c4-1";
pub(crate) const START: i64 = 100;
pub(crate) const LIVE_FROM: i64 = 1_000;

/// A store under test.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn ResultStore>,
    /// Where to look behind the store's back; only Postgres.
    pub(crate) database: Option<Database>,
    /// Where to look behind the store's back; only SQLite.
    file: Option<tempfile::TempDir>,
}

pub(crate) async fn sqlite() -> Fixture {
    let file = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&file.path().join("results.sqlite")).await.unwrap();
    store.register(&registration(), false).await.unwrap();
    Fixture {
        store: Arc::new(store),
        database: None,
        file: Some(file),
    }
}

pub(crate) async fn postgres() -> Fixture {
    let database = database().await;
    let store = PostgresStore::new(&options(&database)).unwrap();
    store.register(&registration(), false).await.unwrap();
    Fixture {
        store: Arc::new(store),
        database: Some(database),
        file: None,
    }
}

/// A migrated database on the server that all tests share.
pub(crate) async fn database() -> Database {
    let database = Postgres::shared().unwrap().create_database().unwrap();
    PostgresStore::migrate(&options(&database)).await.unwrap();
    database
}

pub(crate) fn options(database: &Database) -> PostgresOptions {
    PostgresOptions::new(database.url(), "results")
}

impl Fixture {
    pub(crate) async fn take_over(&self, partition: i32, nonce: i64) -> Progress {
        self.store
            .take_over(PIPELINE, REVISION, partition, nonce)
            .await
            .unwrap()
    }

    pub(crate) async fn progress(&self, partition: i32) -> Progress {
        let rows = self.store.progress(PIPELINE, REVISION).await.unwrap();
        rows.into_iter().find(|row| row.fence.partition == partition).unwrap()
    }

    pub(crate) async fn dump(&self) -> String {
        self.store.dump(PIPELINE, REVISION).await.unwrap()
    }

    /// Rows of the dump that belong to a table.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        self.dump()
            .await
            .lines()
            .filter(|line| line.starts_with(&format!("{table}\t")))
            .map(str::to_owned)
            .collect()
    }

    /// Answers a question of one column behind the store's back.
    pub(crate) async fn ask(&self, sql: &'static str) -> Vec<String> {
        if let Some(database) = &self.database {
            let rows = database
                .query(&format!("SET search_path TO results; SET timezone TO UTC; {sql}"))
                .unwrap();
            return rows.into_iter().map(|row| row.join("|")).collect();
        }
        let file = self.file.as_ref().unwrap().path().join("results.sqlite");
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display()))
            .await
            .unwrap();
        sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
    }
}

pub(crate) fn registration() -> Registration {
    let offsets = |partition| StartOffsets {
        partition,
        start_offset: START,
        live_from_offset: LIVE_FROM,
    };
    Registration {
        pipeline: PIPELINE.into(),
        cluster: "west".into(),
        namespace: "trading".into(),
        name: "majors".into(),
        revision: REVISION.into(),
        settings: r#"{"lateness":"2s"}"#.into(),
        engine_semantics: 1,
        topic_identity: "kafka/raw.trades/abc".into(),
        partitions: 3,
        offsets: (0..3).map(offsets).collect(),
    }
}

/// A step without rows.
pub(crate) fn step(fence: &Fence, from_offset: i64, to_offset: i64) -> Advance {
    Advance {
        fence: fence.clone(),
        from_offset,
        to_offset,
        watermark_us: Some(1_723_078_800_123_456),
        state_digest: format!("{to_offset:032x}"),
        record_digest: format!("{from_offset:032x}"),
        counters: Counters {
            accepted: 7,
            rejected: [("undecodable", 2)].into(),
            ..Counters::default()
        },
        live_from_offset: LIVE_FROM,
        forecasts: vec![],
        outcomes: vec![],
        faults: vec![],
        dead_letters: vec![],
    }
}

/// A step with one row of each kind at `from_offset`.
pub(crate) fn full_step(fence: &Fence, from_offset: i64, to_offset: i64) -> Advance {
    let partition = fence.partition;
    let forecast = forecast(&format!("{partition}-{from_offset}"), from_offset);
    Advance {
        outcomes: vec![outcome(&forecast, OutcomeKind::Hit)],
        forecasts: vec![forecast],
        faults: vec![Fault {
            symbol: format!("SYM{from_offset}"),
            offset: from_offset,
            message: "index out of bounds\tat \"slot\" ∞".into(),
        }],
        dead_letters: vec![dead_letter(from_offset)],
        ..step(fence, from_offset, to_offset)
    }
}

pub(crate) fn forecast(id: &str, offset: i64) -> Forecast {
    Forecast {
        id: id.into(),
        symbol: "BTCUSDT".into(),
        strategy: "vwap-reversion".into(),
        emitted_at_us: 1_723_078_800_000_001,
        horizon_us: 300_000_000,
        direction: -1,
        probability: 0.412_345_678_901_234_5,
        confidence: "MEDIUM",
        base_rate: 0.31,
        overlapping: false,
        inputs: r#"{"theta":0.0012,"z":-2.25}"#.into(),
        offset,
    }
}

pub(crate) fn outcome(forecast: &Forecast, kind: OutcomeKind) -> Outcome {
    let void = kind == OutcomeKind::Void;
    Outcome {
        evaluated_at_us: forecast.emitted_at_us.saturating_add(forecast.horizon_us),
        void_reason: if void { "gap" } else { "" },
        log_return: if void { 0.0 } else { -0.001_234 },
        offset: forecast.offset.saturating_add(50),
        forecast: forecast.clone(),
        kind,
    }
}

pub(crate) fn dead_letter(offset: i64) -> DeadLetter {
    DeadLetter {
        offset,
        reason: "undecodable",
        key: vec![0, 255, b'\n'],
        value: b"{\"v\":\x00\xfe".to_vec(),
        value_length: 70_000,
        headers: r#"[["trace","AAE="]]"#.into(),
        record_time_us: None,
    }
}
