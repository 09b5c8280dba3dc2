//! A processor whose three servers are all secured works as any other, and shows no credential while it does.

use anyhow::{Context as _, Result};
use assay_tests::pipeline::Endpoints;
use assay_tests::secured::PASSWORD_MARK;
use assay_tests::trades;

use crate::fixture::{Access, HOST, certificates, ensure_hidden, ensure_success, kafka, postgres, redis};

/// Migrates, and runs a processor to the log's end; everything that it shows meanwhile is looked at.
fn run_to_the_end(access: Access, level: &str) -> Result<()> {
    let stores = Endpoints::direct(postgres()?.create_database()?, redis()?.plain());
    stores.redis.flush()?;
    let access = access
        .postgres(&stores.database, HOST)?
        .redis(HOST)?
        .out_of_files()?
        .with("ASSAY_LOG", level);
    ensure_success(&access.run(&["migrate"])?)?;
    let pipeline = access.pipeline()?;
    let trades = trades::slow_hour(1)?;
    kafka()?
        .plain()
        .produce(pipeline.topic(), trades.iter().map(trades::RecordedTrade::record))?;
    let mut processor = access.start(&pipeline)?;
    pipeline.wait_until_caught_up(&stores, || processor.process().ensure_running())?;
    let pages = ["/metrics", "/status"].map(|page| Ok((page, processor.get(page)?)));
    let mut shown = pages.into_iter().collect::<Result<Vec<_>>>()?;
    shown.push(("log", processor.process().log()?));
    pipeline.shut_down(processor)?;
    for (place, text) in shown {
        assert!(
            !text.is_empty(),
            "nothing in {place}: the test looks at the wrong place"
        );
        ensure_hidden(place, &text)?;
    }
    Ok(())
}

/// One after the other: both count the revisions in the one Redis.
#[test]
fn a_processor_works_to_the_logs_end_over_login_and_over_mutual_tls() -> Result<()> {
    run_to_the_end(Access::plain()?.kafka_login("SCRAM-SHA-512")?, "trace")?;
    run_to_the_end(Access::plain()?.kafka_mutual(Some(&certificates()?.client))?, "info")
}

#[test]
fn the_search_for_credentials_finds_them() -> Result<()> {
    let key = certificates()?.client.private_key.lines().nth(1).context("a key")?;
    for text in [PASSWORD_MARK, key] {
        assert!(ensure_hidden("this", &format!("a {text} b")).is_err());
    }
    Ok(())
}
