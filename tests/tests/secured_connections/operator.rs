//! The operator's own connections, by the same fields as the processors'.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use assay_operator::kafka::{Connection, KafkaCredentials, KafkaHandle, KafkaPool};
use assay_operator::secrets::{Credential, PostgresCredentials, TlsMaterial};
use assay_operator::store::{StoreError, StorePool};
use assay_tests::secured::{Authority, Listener, ONLOOKER, Pair, STRANGER, USER, password};
use prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::fixture::{HOST, certificates, ensure_hidden, kafka, postgres};

fn tls(authority: &Authority, client: Option<&Pair>) -> TlsMaterial {
    TlsMaterial {
        authority: Some(Credential::new(authority.pem())),
        identity: client.map(|pair| {
            (
                Credential::new(pair.certificate.as_str()),
                Credential::new(pair.private_key.as_str()),
            )
        }),
    }
}

fn handle(listener: Listener, security: &Value, credentials: &KafkaCredentials) -> Result<Arc<KafkaHandle>> {
    let spec = json!({"bootstrapServers": kafka()?.bootstrap(listener, HOST), "security": security});
    let calls = IntCounterVec::new(Opts::new("calls", "Calls to Kafka."), &["call"])?;
    Ok(KafkaPool::new(std::time::Duration::ZERO, calls)
        .get(&Connection::new(&serde_json::from_value(spec)?, credentials))?)
}

fn by_login(user: &str, password: &str, authority: &Authority) -> Result<Arc<KafkaHandle>> {
    let security =
        json!({"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "credentialsSecret": {"name": "kafka-user"}});
    let credentials = KafkaCredentials {
        login: Some((user.to_owned(), password.to_owned())),
        tls: tls(authority, None),
    };
    handle(Listener::Login, &security, &credentials)
}

fn by_certificate(client: Option<&Pair>) -> Result<Arc<KafkaHandle>> {
    let credentials = KafkaCredentials {
        login: None,
        tls: tls(&certificates()?.authority, client),
    };
    handle(Listener::Mutual, &json!({"protocol": "SSL"}), &credentials)
}

/// What the operator would show for a topic.
fn told(kafka: &Arc<KafkaHandle>, topic: &str) -> Result<String> {
    let error = Runtime::new()?.block_on(kafka.topic(topic)).err().context("an error")?;
    ensure_hidden("error", &format!("{error} {error:?}"))?;
    Ok(error.to_string())
}

#[test]
fn a_topic_is_described_over_login_and_over_mutual_tls() -> Result<()> {
    let topic = kafka()?.plain().create_topic("trades", 3)?;
    let known = certificates()?;
    for handle in [
        by_login(USER, &password("kafka"), &known.authority)?,
        by_certificate(Some(&known.client))?,
    ] {
        let found = Runtime::new()?.block_on(handle.topic(&topic))?.context("the topic")?;
        assert_eq!(found.description.partitions, 3);
    }
    Ok(())
}

#[test]
fn a_refused_login_or_certificate_names_the_secret() -> Result<()> {
    let known = certificates()?;
    let wrong_password = by_login(USER, "hunter2-wrong", &known.authority)?;
    // librdkafka tells the reason of the first refusal and is silent about the same one right after it.
    for _ in 0..2 {
        let told_login = told(&wrong_password, "trades")?;
        assert!(
            told_login.contains("spec.kafka.security.credentialsSecret"),
            "{told_login}"
        );
    }
    let told_authority = told(&by_login(USER, &password("kafka"), &known.other)?, "trades")?;
    assert!(
        told_authority.contains("spec.kafka.security.caSecret"),
        "{told_authority}"
    );
    let told_client = told(&by_certificate(None)?, "trades")?;
    assert!(
        told_client.contains("spec.kafka.security.clientCertificateSecret"),
        "{told_client}"
    );
    Ok(())
}

#[test]
fn a_missing_right_is_named_with_its_topic() -> Result<()> {
    let runtime = Runtime::new()?;
    let authority = &certificates()?.authority;
    let topic = kafka()?.plain().create_topic("trades", 1)?;
    let stranger = by_login(STRANGER, &password("kafka"), authority)?;
    assert!(told(&stranger, &topic)?.contains(&format!("DESCRIBE on topic {topic}")));
    let onlooker = by_login(ONLOOKER, &password("kafka"), authority)?;
    let settings = BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]);
    let created = runtime.block_on(onlooker.create_topic("trades-new", 1, 1, &settings));
    let created = created.err().context("CREATE was not granted")?.to_string();
    assert!(created.contains("CREATE on topic trades-new"), "{created}");
    let altered = runtime.block_on(onlooker.alter_topic(&topic, &settings));
    let altered = altered.err().context("ALTER_CONFIGS was not granted")?.to_string();
    assert!(
        altered.contains(&format!("ALTER_CONFIGS on topic {topic}")),
        "{altered}"
    );
    assert!(
        altered.contains("grant that ACL to the user of spec.kafka.security"),
        "{altered}"
    );
    Ok(())
}

fn view(url: &str, tls: TlsMaterial) -> Result<Result<(), StoreError>> {
    let credentials = PostgresCredentials {
        url: Credential::new(url),
        tls,
    };
    let pool = StorePool::default();
    Runtime::new()?.block_on(async {
        let store = pool.get(&credentials, "assay")?;
        Ok(store.view("uid").await.map(drop))
    })
}

#[test]
fn the_result_store_is_read_over_tls_and_a_refusal_names_the_secret() -> Result<()> {
    let known = certificates()?;
    let database = postgres()?.create_database()?;
    let url = postgres()?.url(&database, HOST, &password("postgres"));
    let good = tls(&known.authority, Some(&known.client));
    view(&url, good.clone())??;
    let wrong_password = postgres()?.url(&database, HOST, "hunter2-wrong");
    for (url, tls, setting) in [
        (&wrong_password, good, "spec.results.postgres.secret"),
        (
            &url,
            tls(&known.other, Some(&known.client)),
            "spec.results.postgres.caSecret",
        ),
        (
            &url,
            tls(&known.authority, None),
            "spec.results.postgres.clientCertificateSecret",
        ),
        (
            &url,
            tls(&known.authority, Some(&known.forged)),
            "spec.results.postgres.clientCertificateSecret",
        ),
    ] {
        let error = view(url, tls)?.err().context(setting)?;
        assert!(error.to_string().contains(setting), "{setting}: {error}");
        ensure_hidden("error", &format!("{error} {error:?}"))?;
    }
    Ok(())
}
