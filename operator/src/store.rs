//! The result store as the operator uses it: reads progress, revisions and scores; writes only which revision is live.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use crate::secrets::{Credential, PostgresCredentials, SecretError, TlsMaterial};

const CALL_LIMIT: Duration = Duration::from_secs(8);
/// Longest statement in milliseconds, a wait for somebody's lock included: the server ends it, and keeps the connection.
const STATEMENT_LIMIT_MS: &str = "10000";
/// How long reading everything about a pipeline may take, whatever the server or the network does: less than a pass, which has to tell it.
const VIEW_LIMIT: Duration = Duration::from_secs(20);
const IDLE_LIMIT: Duration = Duration::from_mins(3);
const SCORES_AGE: Duration = Duration::from_mins(1);
/// Results that a score is taken over, newest first: bounds the query whatever the table holds.
const SCORED_RESULTS: i64 = 10_000;

/// What went wrong at the result store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not a URL that Postgres understands.
    #[error("the URL of the result store is malformed; correct the Secret that spec.results.postgres.secret names")]
    Url,
    /// What names it and lets us in is not known.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It did not answer.
    #[error(
        "the result store cannot be reached: {0}; check the Secret that spec.results.postgres.secret names, the network and the server"
    )]
    Unavailable(String),
    /// It answers and does not let us in.
    #[error("the result store gives no access: {0}")]
    NoAccess(String),
    /// It refused.
    #[error(
        "the result store refused: {0}; grant the operator SELECT on all tables, UPDATE on pipelines and INSERT on promotions"
    )]
    Refused(String),
}

/// A revision with its progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredRevision {
    /// Canonical settings text.
    pub settings: String,
    /// Meaning of the engine's step function.
    pub engine_semantics: u32,
    /// Id of the topic.
    pub topic_identity: String,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Progress by partition.
    pub progress: BTreeMap<i32, StoredProgress>,
}

/// Progress of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredProgress {
    /// First offset of the revision.
    pub start_offset: i64,
    /// First LIVE offset.
    pub live_from_offset: i64,
    /// Everything below is in the tables.
    pub next_offset: i64,
    /// Watermark, microseconds.
    pub watermark_us: Option<i64>,
}

/// Scores of a revision over its latest judged forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Share of hits.
    pub hit_rate: Option<f64>,
    /// Brier skill against the base rates.
    pub brier_skill: Option<f64>,
}

/// What the store knows of one pipeline; empty where nothing was written yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreView {
    /// The tables are not there.
    pub schema_missing: bool,
    /// The live revision.
    pub live: Option<String>,
    /// How often it changed.
    pub generation: i64,
    /// Revisions by id.
    pub revisions: BTreeMap<String, StoredRevision>,
    /// Scores of the live revision.
    pub scores: Scores,
}

/// Connections by URL and schema, closed when idle.
#[derive(Default)]
pub struct StorePool {
    stores: Mutex<HashMap<String, (Store, Instant)>>,
}

impl StorePool {
    /// A connection pool that connects when first used.
    ///
    /// # Errors
    /// Where the URL is malformed.
    pub fn get(&self, credentials: &PostgresCredentials, schema: &str) -> Result<Store, StoreError> {
        let digest = digest(credentials, schema);
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        stores.retain(|_, (_, used)| now.duration_since(*used) < IDLE_LIMIT);
        if let Some((store, used)) = stores.get_mut(&digest) {
            *used = now;
            return Ok(store.clone());
        }
        let options = connect_options(credentials)?
            .application_name("assay-operator")
            .options([("search_path", schema), ("statement_timeout", STATEMENT_LIMIT_MS)]);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(CALL_LIMIT)
            .idle_timeout(Duration::from_mins(1))
            .connect_lazy_with(options);
        let store = Store {
            pool,
            scores: Arc::default(),
        };
        stores.insert(digest, (store.clone(), now));
        Ok(store)
    }
}

/// Names database and credential without showing them.
fn digest(PostgresCredentials { url, tls }: &PostgresCredentials, schema: &str) -> String {
    let identity = tls.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    let credentials = std::iter::once(url).chain(&tls.authority).chain(identity);
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(schema).chain(credentials.map(Credential::expose)) {
        hasher
            .update(&(part.len() as u64).to_le_bytes())
            .update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// As the processors connect: who gives certificates wants them checked, unless the URL asks for the weaker check by name.
fn connect_options(PostgresCredentials { url, tls }: &PostgresCredentials) -> Result<PgConnectOptions, StoreError> {
    let mut options = PgConnectOptions::from_str(url.expose()).map_err(|_| StoreError::Url)?;
    if *tls != TlsMaterial::default() && !matches!(options.get_ssl_mode(), PgSslMode::VerifyCa) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    if let Some(authority) = &tls.authority {
        options = options.ssl_root_cert_from_pem(authority.expose().into());
    }
    if let Some((certificate, key)) = &tls.identity {
        options = options
            .ssl_client_cert_from_pem(certificate.expose())
            .ssl_client_key_from_pem(key.expose());
    }
    Ok(options)
}

/// One database under one credential.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    scores: Arc<Mutex<RecentScores>>,
}

/// By pipeline and revision, with the time of reading.
type RecentScores = HashMap<(String, String), (Instant, Scores)>;

/// Everything about a pipeline in one statement: a row for each revision, one without a revision where there is none yet.
const VIEW: &str = r#"
SELECT p.live_revision, p.live_generation, r.revision, r.settings, r.engine_semantics, r.topic_identity, r.partitions,
       g.numbers, g.starts, g.lives, g.nexts, g.watermarks
FROM pipelines p LEFT JOIN revisions r USING (pipeline) LEFT JOIN LATERAL (
    SELECT array_agg("partition") AS numbers, array_agg(start_offset) AS starts, array_agg(live_from_offset) AS lives,
           array_agg(next_offset) AS nexts, array_agg(watermark_us) AS watermarks
    FROM progress WHERE pipeline = p.pipeline AND revision = r.revision
) g ON true
WHERE pipeline = $1"#;

#[derive(sqlx::FromRow)]
struct Row {
    live_revision: Option<String>,
    live_generation: i64,
    revision: Option<String>,
    settings: Option<String>,
    engine_semantics: Option<i32>,
    topic_identity: Option<String>,
    partitions: Option<i32>,
    numbers: Option<Vec<i32>>,
    starts: Option<Vec<i64>>,
    lives: Option<Vec<i64>>,
    nexts: Option<Vec<i64>>,
    watermarks: Option<Vec<Option<i64>>>,
}

impl Row {
    fn into_revision(self) -> Option<(String, StoredRevision)> {
        let progress = self.progress().unwrap_or_default();
        let revision = StoredRevision {
            settings: self.settings?,
            engine_semantics: u32::try_from(self.engine_semantics?).unwrap_or_default(),
            topic_identity: self.topic_identity?,
            partitions: self.partitions?,
            progress,
        };
        Some((self.revision?, revision))
    }

    fn progress(&self) -> Option<BTreeMap<i32, StoredProgress>> {
        let offsets = self.starts.as_ref()?.iter().zip(self.lives.as_ref()?);
        let offsets = offsets.zip(self.nexts.as_ref()?).zip(self.watermarks.as_ref()?);
        let progress = offsets.map(|(((start, live), next), watermark)| StoredProgress {
            start_offset: *start,
            live_from_offset: *live,
            next_offset: *next,
            watermark_us: *watermark,
        });
        Some(self.numbers.as_ref()?.iter().copied().zip(progress).collect())
    }
}

impl Store {
    /// What is known of a pipeline.
    ///
    /// # Errors
    /// Where the store does not answer or refuses; missing tables are no error.
    pub async fn view(&self, pipeline: &str) -> Result<StoreView, StoreError> {
        let read = tokio::time::timeout(VIEW_LIMIT, self.read(pipeline)).await;
        let late = || StoreError::Unavailable(format!("no answer in {} s", VIEW_LIMIT.as_secs()));
        match read.map_err(|_| late())? {
            Ok(view) => Ok(view),
            Err(error) if is_missing_table(&error) => Ok(StoreView {
                schema_missing: true,
                ..StoreView::default()
            }),
            Err(error) => Err(sort(&error)),
        }
    }

    async fn read(&self, pipeline: &str) -> Result<StoreView, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(VIEW).bind(pipeline).fetch_all(&self.pool).await?;
        let Some(first) = rows.first() else {
            return Ok(StoreView::default());
        };
        let (live, generation) = (first.live_revision.clone(), first.live_generation);
        let scores = match &live {
            Some(revision) => self.recent_scores(pipeline, revision).await?,
            None => Scores::default(),
        };
        Ok(StoreView {
            schema_missing: false,
            live,
            generation,
            revisions: rows.into_iter().filter_map(Row::into_revision).collect(),
            scores,
        })
    }

    /// Scores as of the last minute: they take the longest to read, and nothing is decided by them.
    async fn recent_scores(&self, pipeline: &str, revision: &str) -> Result<Scores, sqlx::Error> {
        let key = (pipeline.to_owned(), revision.to_owned());
        let known = self
            .scores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .copied();
        if let Some((_, scores)) = known.filter(|(read, _)| read.elapsed() < SCORES_AGE) {
            return Ok(scores);
        }
        let scores = self.scores(pipeline, revision).await?;
        let mut known = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (read, _)| read.elapsed() < SCORES_AGE);
        known.insert(key, (Instant::now(), scores));
        Ok(scores)
    }

    /// Brier skill = 1 − Brier score / Brier score of the base rate (Brier 1950), as in the view `hit_rates`.
    async fn scores(&self, pipeline: &str, revision: &str) -> Result<Scores, sqlx::Error> {
        let (hit_rate, brier_skill) = sqlx::query_as(
            "SELECT avg(hit), 1 - avg((probability - hit) ^ 2) / nullif(avg((base_rate - hit) ^ 2), 0) \
             FROM (SELECT hit, probability, base_rate FROM counted_results \
             WHERE pipeline = $1 AND revision = $2 AND phase = 'LIVE' ORDER BY evaluated_at DESC LIMIT $3) AS latest",
        )
        .bind(pipeline)
        .bind(revision)
        .bind(SCORED_RESULTS)
        .fetch_one(&self.pool)
        .await?;
        Ok(Scores { hit_rate, brier_skill })
    }

    /// Makes a revision live where `generation` still holds: flip and record in one statement. Gives the new generation; `None` where
    /// somebody else was faster.
    ///
    /// # Errors
    /// Where the store does not answer or refuses.
    pub async fn promote(
        &self,
        pipeline: &str,
        revision: &str,
        generation: i64,
        actor: &str,
        evidence: &str,
    ) -> Result<Option<i64>, StoreError> {
        let promoted: Option<(i64,)> = sqlx::query_as(
            "WITH flipped AS (UPDATE pipelines SET live_revision = $2, live_generation = live_generation + 1 \
             WHERE pipeline = $1 AND live_generation = $3 AND live_revision IS DISTINCT FROM $2 RETURNING live_generation) \
             INSERT INTO promotions (pipeline, generation, revision, actor, evidence) \
             SELECT $1, live_generation, $2, $4, $5::json FROM flipped RETURNING generation",
        )
        .bind(pipeline)
        .bind(revision)
        .bind(generation)
        .bind(actor)
        .bind(evidence)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| sort(&error))?;
        Ok(promoted.map(|(generation,)| generation))
    }
}

/// Undefined table or schema: nothing was migrated yet.
fn is_missing_table(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P01" | "3F000"))
}

const LOGIN: &str = "correct user and password in the URL of spec.results.postgres.secret, its sslmode, or \
                     spec.results.postgres.clientCertificateSecret";
const ENCRYPTION: &str = "correct sslmode in the URL of spec.results.postgres.secret";
const SERVER_CERTIFICATE: &str = "the authorities in spec.results.postgres.caSecret must have signed the server's certificate, it \
                                  must not have expired, and it must hold the URL's host";
const CLIENT_CERTIFICATE: &str = "correct spec.results.postgres.clientCertificateSecret";

/// A server's refusal keeps its text; anything else is told by kind only, because URLs carry passwords.
fn sort(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(refusal) if refusal.code().is_some_and(|code| code.starts_with("42")) => {
            StoreError::Refused(refusal.message().to_owned())
        }
        sqlx::Error::Database(refusal) if refusal.code().is_some_and(|code| code.starts_with("28")) => {
            StoreError::NoAccess(format!("{}; {LOGIN}", refusal.message()))
        }
        sqlx::Error::Database(refusal) => StoreError::Unavailable(refusal.message().to_owned()),
        // rustls' errors pass through the driver as text.
        sqlx::Error::Io(cause) if cause.to_string().contains("invalid peer certificate") => {
            StoreError::NoAccess(format!("{cause}; {SERVER_CERTIFICATE}"))
        }
        sqlx::Error::Io(cause) if cause.to_string().contains("received fatal alert") => {
            StoreError::NoAccess(format!("{cause}; {CLIENT_CERTIFICATE}"))
        }
        sqlx::Error::Tls(cause) => StoreError::NoAccess(format!("{cause}; {ENCRYPTION}")),
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no connection in time".to_owned()),
        sqlx::Error::Io(cause) => StoreError::Unavailable(cause.to_string()),
        _ => StoreError::Unavailable("the connection failed".to_owned()),
    }
}
