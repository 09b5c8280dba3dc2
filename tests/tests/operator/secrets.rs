//! R8: Secrets are read by name, roll the pods when they change, and their content is nowhere to be seen.

use anyhow::Result;
use assay_tests::scratch::unique;
use serde_json::json;

use crate::lab::Lab;

/// The hash on the pods that stands for the versions of all Secrets.
fn hash_on_pods(lab: &Lab) -> Result<Option<String>> {
    let deployments = lab.deployments()?;
    let template = deployments
        .first()
        .and_then(|d| d.spec.as_ref()?.template.metadata.clone());
    Ok(template.and_then(|metadata| metadata.annotations?.remove("assay.dev/secrets")))
}

#[test]
fn r8_a_missing_secret_is_named_and_a_rotated_one_rolls_the_pods() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    manifest["spec"]["results"]["redis"]["secret"]["name"] = json!("nowhere");
    lab.apply(&manifest)?;
    let message = lab.until_condition("majors", "Ready", "False", "SecretUnusable")?;
    assert!(message.contains("Secret nowhere is missing"), "{message}");
    lab.until_condition("majors", "Stalled", "True", "SecretUnusable")?;
    // Kafka needs none of it.
    lab.until_condition("majors", "TopicsReady", "True", "Ready")?;

    lab.put_secret("nowhere", "redis://127.0.0.1:1/")?;
    let before = lab.wait("a Deployment", || hash_on_pods(&lab))?;
    lab.put_secret("nowhere", "redis://127.0.0.1:2/")?;
    lab.wait("another hash on the pods", || {
        Ok(hash_on_pods(&lab)?.filter(|now| *now != before))
    })?;
    assert_eq!(lab.instances()?.len(), 1, "a rotated Secret is no new revision");
    Ok(())
}

#[test]
fn r8_a_rotated_database_password_is_used_without_a_restart() -> Result<()> {
    let lab = Lab::start()?;
    let good = lab.database.url();
    lab.put_secret("results", "postgres://nobody:wrong@127.0.0.1:1/none")?;
    lab.apply(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    lab.put_secret("results", &good)?;
    lab.instance_beside(&[])?;
    Ok(())
}

#[test]
fn r8_no_secret_is_in_any_object_log_event_status_or_metric() -> Result<()> {
    let lab = Lab::start()?;
    lab.operator()?.set_log_level("trace")?;
    let (postgres, redis, kafka) = ("hunter2-postgres", "hunter2-redis", "hunter2-kafka");
    // Whether a login works or fails, its password must not show: the store refuses first, then works.
    lab.put_secret("results", &format!("postgres://nobody:{postgres}@127.0.0.1:1/none"))?;
    lab.put_secret("latest", &format!("redis://:{redis}@127.0.0.1:1/"))?;
    let topic = unique("raw.trades");
    lab.apply(&lab.manifest("majors", &topic))?;
    lab.until_condition("majors", "Ready", "False", "StoreUnavailable")?;
    let url = lab.database.url().replacen("assay@", &format!("assay:{postgres}@"), 1);
    assert!(url.contains(postgres), "{url}");
    lab.put_secret("results", &url)?;
    lab.instance_beside(&[])?;

    lab.kubectl(&[
        "create",
        "secret",
        "generic",
        "kafka-user",
        "--from-literal=username=trader",
        &format!("--from-literal=password={kafka}"),
    ])?;
    let mut secured = lab.manifest("secured", &topic);
    secured["spec"]["kafka"]["security"] =
        json!({"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "credentialsSecret": {"name": "kafka-user"}});
    lab.apply(&secured)?;
    lab.until("secured", "a broker that refuses", |p| p.status.is_some())?;
    for reason in ["StoreUnavailable", "TopicsNotReady"] {
        lab.wait("an event", || Ok(lab.events(reason)?.pop()))?;
    }

    for (place, text) in everything_shown(&lab)? {
        assert!(
            !text.is_empty(),
            "nothing in {place}: the test looks at the wrong place"
        );
        assert!(!text.contains("hunter2"), "{place} shows a Secret");
    }
    Ok(())
}

/// Everything that the operator writes somewhere, by place.
fn everything_shown(lab: &Lab) -> Result<Vec<(&'static str, String)>> {
    let own = lab.installation.own_namespace.as_str();
    let objects =
        "strategypipelines,configmaps,deployments,replicasets,services,networkpolicies,poddisruptionbudgets,events";
    Ok(vec![
        ("objects", lab.kubectl(&["get", objects, "-o", "yaml"])?),
        (
            "own namespace",
            lab.kubernetes
                .kubectl(&["-n", own, "get", "configmaps,events,leases", "-o", "yaml"])?,
        ),
        ("logs", lab.installation.logs()?),
        ("metrics", lab.operator()?.page("/metrics")?),
        ("explain", lab.assay(&["explain", "majors"])?),
        ("explain of the other", lab.assay(&["explain", "secured"])?),
    ])
}

#[test]
fn r8_secrets_are_never_listed_nor_watched() -> Result<()> {
    let lab = Lab::start()?;
    let account = format!("--as=system:serviceaccount:{}:operator", lab.installation.own_namespace);
    let may = |verb: &str| {
        let answer = lab.kubectl(&["auth", "can-i", verb, "secrets", &account]);
        // kubectl answers "no" with a failure.
        answer.is_ok_and(|text| text.trim() == "yes")
    };
    assert!(may("get"));
    for verb in ["list", "watch", "create", "patch", "delete"] {
        assert!(!may(verb), "{verb}");
    }
    Ok(())
}
