//! What the operator has asked of everybody since its start, as those who were asked count it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use assay_tests::measure::Usage;
use serde_json::json;

use crate::lab::Lab;

const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
/// The objects that a pass may write.
const KINDS: &str = "strategypipelines,deployments,configmaps,services,networkpolicies,poddisruptionbudgets,events";

/// All counters at one moment.
pub(crate) struct Counters {
    pub(crate) at: Instant,
    pub(crate) usage: Usage,
    /// Passes that ended.
    pub(crate) passes: u64,
    /// Seconds that passes took, summed.
    pub(crate) pass_s: f64,
    /// Requests to the API server, by verb.
    pub(crate) api: BTreeMap<String, u64>,
    /// Calls to Kafka, by call.
    pub(crate) kafka: BTreeMap<String, u64>,
    /// Transactions of the database; each statement of the operator is one.
    pub(crate) transactions: u64,
    /// Versions of all objects.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Counters {
    /// Reads them.
    ///
    /// # Errors
    /// Somebody does not answer.
    pub(crate) fn read(lab: &Lab) -> Result<Self> {
        let operator = lab.operator()?;
        let page = operator.page("/metrics")?;
        let api = lab.kubernetes.kubectl(&["get", "--raw", "/metrics"])?;
        let api = by_label(&api, "apiserver_flowcontrol_dispatched_requests_total", "flow_schema");
        let verb = |(schema, count): (String, f64)| Some((schema.strip_prefix("operator-")?.to_owned(), whole(count)));
        let phases = by_label(&page, "assay_operator_reconcile_phase_seconds_sum", "phase");
        let kafka = by_label(&page, "assay_operator_kafka_calls_total", "call");
        Ok(Self {
            at: Instant::now(),
            usage: Usage::of(operator.process.id())?,
            passes: passes(&page),
            pass_s: phases.values().sum(),
            api: api.into_iter().filter_map(verb).collect(),
            kafka: kafka.into_iter().map(|(call, count)| (call, whole(count))).collect(),
            transactions: transactions(lab)?,
            versions: versions(lab)?,
        })
    }
}

/// Passes that have ended, by the operator's page.
pub(crate) fn passes(page: &str) -> u64 {
    whole(
        by_label(page, "assay_operator_reconciles_total", "outcome")
            .values()
            .sum(),
    )
}

/// Lets the API server count the operator's requests by verb: each verb becomes a flow of its own. Its general metrics know verbs and
/// resources and no users.
///
/// # Errors
/// The API server refuses.
pub(crate) fn count_by_verb(lab: &Lab) -> Result<()> {
    let own = &lab.installation.own_namespace;
    let subject = json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": own, "name": "operator"}});
    let schema = |verb: &str| {
        json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": {"name": format!("operator-{verb}")},
            "spec": {
                // The level that accounts have anyway.
                "priorityLevelConfiguration": {"name": "workload-low"},
                "matchingPrecedence": 500,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [{
                    "subjects": [subject],
                    "resourceRules": [{
                        "verbs": [verb], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
                    }],
                }],
            },
        })
    };
    let file = assay_tests::scratch::Scratch::new("flows")?;
    let path = file.path().join("schemas.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": VERBS.map(schema)});
    std::fs::write(&path, list.to_string())?;
    lab.kubernetes.kubectl(&["apply", "-f", &path.display().to_string()])?;
    Ok(())
}

fn transactions(lab: &Lab) -> Result<u64> {
    let rows = lab
        .database
        .query("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")?;
    Ok(rows.first().context("the database's own row")?[0].parse()?)
}

fn versions(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let columns = r#"jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion}{"\n"}{end}"#;
    let text = lab.kubectl(&["get", KINDS, "-o", columns])?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect())
}

/// Values of a metric, summed by one of its labels.
fn by_label(page: &str, metric: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.split_once("} "));
    for (labels, value) in rows {
        let named = labels
            .split(&format!("{label}=\""))
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        if let (Some(name), Ok(value)) = (named, value.parse::<f64>()) {
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    sums
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole, and far below 2^52"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
