//! What `kubectl get sp` shows, `kubectl scale` does, and the metrics say.

use anyhow::{Context as _, Result};
use assay_tests::Kafka;
use assay_tests::kafka::NewRecord;
use assay_tests::scratch::{Scratch, unique};
use serde_json::{Value, json};

use crate::lab::Lab;

/// The row of `kubectl get sp`, by column.
fn columns(lab: &Lab, name: &str) -> Result<std::collections::BTreeMap<String, String>> {
    let table = lab.kubectl(&["get", "sp", name, "-o", "wide"])?;
    let mut lines = table.lines();
    let (head, row) = (lines.next().context("a head")?, lines.next().context("a row")?);
    // Columns are aligned: a cell is what stands below its title.
    let starts: Vec<usize> = head
        .char_indices()
        .filter(|&(i, c)| c != ' ' && (i == 0 || head[..i].ends_with(' ')))
        .map(|(i, _)| i)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    let cell =
        |text: &str, from: usize, to: usize| text.get(from..to.min(text.len())).unwrap_or_default().trim().to_owned();
    Ok(starts
        .iter()
        .zip(ends)
        .map(|(&from, to)| (cell(head, from, to), cell(row, from, to)))
        .collect())
}

fn produce(topic: &str, partition: i32, records: usize) -> Result<()> {
    let record = || NewRecord {
        partition: Some(partition),
        key: b"BTCUSDT".to_vec(),
        value: b"{}".to_vec(),
        timestamp_ms: None,
    };
    Kafka::shared()?.produce(topic, (0..records).map(|_| record()))
}

#[test]
fn lag_headroom_and_drain_are_columns_with_two_digits() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let revision = lab.live(&lab.manifest("majors", &topic))?;
    produce(&topic, 0, 20)?;
    produce(&topic, 2, 107)?;
    let now_s = k8s_openapi::jiff::Timestamp::now().as_second();
    lab.progress(&revision, 0, now_s - 86_400)?;
    let row = lab.wait("the figures", || {
        Ok(Some(columns(&lab, "majors")?).filter(|row| row["LAG"] == "120" && !row["HEADROOM"].is_empty()))
    })?;
    assert_eq!((row["PARTITIONS"].as_str(), row["READY"].as_str()), ("3", "False"));
    // Ten days of retention, and the oldest unread record is one day old.
    assert_eq!(
        (row["HEADROOM"].as_str(), row["DRAIN"].as_str(), &row["REVISION"]),
        ("8d", "never", &revision)
    );
    let status = lab.get("majors")?.status.unwrap_or_default();
    let worst: Vec<(i32, i64)> = status
        .lag
        .context("lag")?
        .worst
        .iter()
        .map(|p| (p.partition, p.records))
        .collect();
    assert_eq!(worst, [(2, 100), (0, 20)]);
    let page = lab.operator()?.page("/metrics")?;
    let labels = format!("{{namespace=\"{}\",pipeline=\"majors\"}}", lab.namespace);
    assert!(
        page.contains(&format!("assay_operator_lag_records{labels} 127\n")),
        "{page}"
    );
    Ok(())
}

/// Passes that the operator has ended.
fn passes(lab: &Lab) -> Result<u64> {
    let page = lab.operator()?.page("/metrics")?;
    let counts = page
        .lines()
        .filter_map(|line| line.strip_prefix("assay_operator_reconciles_total{"));
    Ok(counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum())
}

#[test]
fn an_idle_topic_causes_no_write() -> Result<()> {
    let lab = Lab::start()?;
    let topic = unique("raw.trades");
    let revision = lab.live(&lab.manifest("majors", &topic))?;
    lab.progress(&revision, 0, k8s_openapi::jiff::Timestamp::now().as_second())?;
    let version = || -> Result<Option<String>> { Ok(lab.get("majors")?.metadata.resource_version) };
    let settled = |what: &str, more: u64| {
        let from = passes(&lab)?;
        lab.wait(what, || Ok((passes(&lab)? >= from + more).then_some(())))
    };
    // Nothing runs pods here: replicas that are asked for and not there would be looked at again and again.
    settled("the passes that settle it", 4)?;
    let before = version()?;
    settled("five more passes", 5)?;
    assert_eq!(version()?, before);
    Ok(())
}

/// Makes the API server count the operator's writes to the watched namespace; gives the name under which it does.
fn count_writes(lab: &Lab) -> Result<String> {
    let name = format!("writes-{}", lab.namespace);
    let own = &lab.installation.own_namespace;
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-low"},
            "matchingPrecedence": 500,
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": own, "name": "operator"}}],
                "resourceRules": [{
                    "verbs": ["create", "update", "patch", "delete"], "apiGroups": ["*"], "resources": ["*"],
                    "namespaces": [lab.namespace],
                }],
            }],
        },
    });
    let folder = Scratch::new("flow")?;
    let file = folder.path().join("schema.json");
    std::fs::write(&file, schema.to_string())?;
    lab.kubernetes.kubectl(&["apply", "-f", &file.display().to_string()])?;
    Ok(name)
}

fn counted(lab: &Lab, schema: &str) -> Result<f64> {
    let page = lab.kubernetes.kubectl(&["get", "--raw", "/metrics"])?;
    let wanted = format!("flow_schema=\"{schema}\"");
    let counts = page
        .lines()
        .filter(|line| line.starts_with("apiserver_flowcontrol_dispatched_requests_total") && line.contains(&wanted));
    Ok(counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}

#[test]
fn a_pass_with_nothing_to_do_sends_no_write_at_all() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    lab.progress(&revision, 0, k8s_openapi::jiff::Timestamp::now().as_second())?;
    let schema = count_writes(&lab)?;
    // Drift is healed by a write, which shows that writes are counted.
    let mut replicas = 1;
    lab.wait("a counted write", || {
        replicas += 1;
        let wanted = format!("--replicas={replicas}");
        lab.kubectl(&["scale", &format!("deployment/majors-{revision}"), &wanted])?;
        lab.wait("one replica again", || {
            Ok((lab.replicas(&revision)? == Some(1)).then_some(()))
        })?;
        Ok((counted(&lab, &schema)? > 0.0).then_some(()))
    })?;
    // Figures may move once more; then several passes in a row write nothing.
    lab.wait("passes without a write", || {
        let before = counted(&lab, &schema)?;
        let from = passes(&lab)?;
        lab.wait("five more passes", || Ok((passes(&lab)? >= from + 5).then_some(())))?;
        Ok((counted(&lab, &schema)? <= before).then_some(()))
    })
}

#[test]
fn scale_is_obeyed_up_to_the_partitions_and_restarts_nothing() -> Result<()> {
    let lab = Lab::start()?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    let before = lab.config_maps()?[0].metadata.name.clone();
    lab.kubectl(&["scale", "sp/majors", "--replicas=9"])?;
    lab.wait("three replicas", || {
        Ok((lab.replicas(&revision)? == Some(3)).then_some(()))
    })?;
    assert_eq!(lab.config_maps()?[0].metadata.name, before);
    assert_eq!(lab.instances()?.len(), 1);

    let scale: Value =
        serde_json::from_str(&lab.kubectl(&["get", "sp", "majors", "--subresource=scale", "-o", "json"])?)?;
    assert_eq!(scale["spec"]["replicas"], json!(9), "the operator never writes spec");
    let selector = format!("assay.dev/pipeline=majors,assay.dev/revision={revision}");
    lab.wait("replicas of the subresource", || {
        let scale: Value =
            serde_json::from_str(&lab.kubectl(&["get", "sp", "majors", "--subresource=scale", "-o", "json"])?)?;
        let status = &scale["status"];
        Ok((status["replicas"] == json!(3) && status["selector"] == json!(selector)).then_some(()))
    })
}

#[test]
fn lag_and_suggest_say_that_they_are_not_there_yet() -> Result<()> {
    let lab = Lab::start()?;
    let mut manifest = lab.manifest("majors", &unique("raw.trades"));
    manifest["spec"]["scaling"] = json!({"mode": "Lag"});
    lab.live(&manifest)?;
    let message = lab.until_condition("majors", "ScalingActive", "False", "NotYet")?;
    assert!(message.contains("processor.replicas is obeyed"), "{message}");
    Ok(())
}
