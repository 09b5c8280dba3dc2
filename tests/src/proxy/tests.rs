use super::*;
use crate::{Database, Postgres, Redis};

const LIMIT: Duration = Duration::from_secs(20);

async fn connect(database: &Database, proxy: &Proxy) -> Result<sqlx::PgConnection> {
    use sqlx::Connection as _;
    Ok(sqlx::PgConnection::connect(&database.url_through(proxy.port())).await?)
}

async fn insert(connection: &mut sqlx::PgConnection, value: i32) -> Result<()> {
    sqlx::query("INSERT INTO kept VALUES ($1)")
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}

fn database_with_table() -> Result<(Database, Proxy)> {
    let postgres = Postgres::shared()?;
    let database = postgres.create_database()?;
    database.execute("CREATE TABLE kept (value int)")?;
    Ok((database, Proxy::start(postgres.port(), Protocol::Postgres)?))
}

#[tokio::test]
async fn a_statement_whose_reply_is_lost_has_taken_effect() -> Result<()> {
    let (database, proxy) = database_with_table()?;
    let mut connection = connect(&database, &proxy).await?;
    insert(&mut connection, 1).await?;
    proxy.lose("INTO kept", Loss::Reply, 1);
    assert!(insert(&mut connection, 2).await.is_err());
    assert_eq!(database.query("SELECT value FROM kept ORDER BY 1")?, [["1"], ["2"]]);
    assert_eq!(proxy.lost(), 1);
    let mut connection = connect(&database, &proxy).await?;
    insert(&mut connection, 3).await
}

#[tokio::test]
async fn a_statement_that_is_lost_itself_has_no_effect_even_by_name() -> Result<()> {
    let (database, proxy) = database_with_table()?;
    let mut connection = connect(&database, &proxy).await?;
    insert(&mut connection, 1).await?;
    proxy.lose("INTO kept", Loss::Request, 1);
    assert!(insert(&mut connection, 2).await.is_err());
    assert_eq!(database.query("SELECT value FROM kept")?, [["1"]]);
    assert_eq!(proxy.lost(), 1);
    Ok(())
}

#[tokio::test]
async fn refusing_breaks_every_connection_until_it_passes_again() -> Result<()> {
    let (database, proxy) = database_with_table()?;
    let mut connection = connect(&database, &proxy).await?;
    proxy.refuse();
    assert!(insert(&mut connection, 1).await.is_err());
    assert!(connect(&database, &proxy).await.is_err());
    proxy.pass();
    insert(&mut connect(&database, &proxy).await?, 1).await
}

#[tokio::test]
async fn silence_leaves_the_client_waiting_until_the_connection_is_cut() -> Result<()> {
    let (database, proxy) = database_with_table()?;
    let mut connection = connect(&database, &proxy).await?;
    // Prepares the statement: from now on it is one request.
    insert(&mut connection, 1).await?;
    proxy.silence();
    let waiting = tokio::spawn(async move { insert(&mut connection, 2).await });
    let probe = database.clone();
    tokio::task::spawn_blocking(move || {
        crate::wait::until(LIMIT, "the row", || {
            Ok((!probe.query("SELECT 1 FROM kept WHERE value = 2")?.is_empty()).then_some(()))
        })
    })
    .await??;
    assert!(!waiting.is_finished());
    proxy.pass();
    assert!(tokio::time::timeout(LIMIT, waiting).await??.is_err());
    Ok(())
}

#[test]
fn the_reply_of_any_protocol_is_lost_by_the_bytes_of_its_request() -> Result<()> {
    let redis = Redis::shared()?;
    let proxy = Proxy::start(redis.port(), Protocol::Bytes)?;
    let mut connection = ::redis::Client::open(redis.url_through(proxy.port()))?.get_connection()?;
    proxy.lose("proxied-key", Loss::Reply, 1);
    assert!(
        ::redis::cmd("SET")
            .arg("proxied-key")
            .arg(7)
            .query::<()>(&mut connection)
            .is_err()
    );
    let stored: u8 = ::redis::cmd("GET").arg("proxied-key").query(&mut redis.connection()?)?;
    assert_eq!((stored, proxy.lost()), (7, 1));
    Ok(())
}
