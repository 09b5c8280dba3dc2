//! The Helm chart against a real API server: what it renders is what a cluster accepts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use assay_tests::Kubernetes;
use serde_json::{Value, json};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/assay")
}

/// The chart's values files: each is one way to install it.
fn value_files() -> Result<Vec<PathBuf>> {
    let mut files = vec![chart().join("values.yaml"), chart().join("values-eks.yaml")];
    for entry in std::fs::read_dir(chart().join("ci"))? {
        files.push(entry?.path());
    }
    Ok(files)
}

fn helm(cluster: &Kubernetes, action: &[&str], values: &Path, more: &[&str]) -> Result<String> {
    let mut command = cluster.program("helm");
    command.args(action).arg(chart()).arg("--values").arg(values).args(more);
    text(command.output().context("cannot start helm")?)
}

fn text(output: Output) -> Result<String> {
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{message}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn render(cluster: &Kubernetes, values: &Path) -> Result<String> {
    helm(
        cluster,
        &["template", "assay"],
        values,
        &["--namespace", "assay-system"],
    )
}

fn with_input(mut command: Command, input: &str) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("standard input was piped")?
        .write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// Gives objects to the API server, which validates and defaults them and stores nothing.
fn dry_run(cluster: &Kubernetes, objects: &str) -> Result<String> {
    let mut kubectl = cluster.program("kubectl");
    kubectl.args([
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--filename",
        "-",
    ]);
    text(with_input(kubectl, objects)?)
}

/// The cluster with what an installation finds there: its namespaces, the first of them "restricted".
fn prepared_cluster() -> Result<&'static Kubernetes> {
    let cluster = Kubernetes::shared()?;
    for name in ["assay-system", "trading", "research"] {
        let namespace = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, \
             labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        );
        let mut kubectl = cluster.program("kubectl");
        kubectl.args(["apply", "--server-side", "--filename", "-"]);
        text(with_input(kubectl, &namespace)?)?;
    }
    let definitions = prometheus_operator()?.join("example/prometheus-operator-crd");
    for kind in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let mut kubectl = cluster.program("kubectl");
        kubectl.args(["apply", "--server-side", "--filename"]);
        text(
            kubectl
                .arg(definitions.join(format!("monitoring.coreos.com_{kind}.yaml")))
                .output()?,
        )?;
    }
    Ok(cluster)
}

/// The Prometheus Operator's sources, at the version that the fixture pins.
fn prometheus_operator() -> Result<PathBuf> {
    let module = "github.com/prometheus-operator/prometheus-operator";
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", module]);
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prometheus-operator"));
    let answer: serde_json::Value = serde_json::from_str(&text(go.output().context("cannot start go")?)?)?;
    Ok(PathBuf::from(answer["Dir"].as_str().context("go names the folder")?))
}

#[test]
fn helm_lint_finds_nothing_in_any_values() -> Result<()> {
    let cluster = prepared_cluster()?;
    for values in value_files()? {
        helm(cluster, &["lint", "--strict"], &values, &[]).with_context(|| values.display().to_string())?;
    }
    Ok(())
}

#[test]
fn every_rendering_is_accepted_by_the_api_server() -> Result<()> {
    let cluster = prepared_cluster()?;
    for values in value_files()? {
        let objects = render(cluster, &values)?;
        let accepted = dry_run(cluster, &objects).with_context(|| values.display().to_string())?;
        let rendered = objects.lines().filter(|line| line.starts_with("kind: ")).count();
        assert_eq!(accepted.lines().count(), rendered, "{}: {accepted}", values.display());
    }
    Ok(())
}

#[test]
fn every_pod_is_admitted_where_security_is_restricted() -> Result<()> {
    let cluster = prepared_cluster()?;
    for values in value_files()? {
        for pod in pods(&render(cluster, &values)?)? {
            dry_run(cluster, &pod).with_context(|| values.display().to_string())?;
        }
    }
    Ok(())
}

#[test]
fn a_privileged_pod_would_have_been_refused() -> Result<()> {
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"assay-system"},
                  "spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let refusal = format!(
        "{:#}",
        dry_run(prepared_cluster()?, pod).expect_err("the namespace is restricted")
    );
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");
    Ok(())
}

/// The cluster with the definition of pipelines.
fn cluster_of_pipelines() -> Result<&'static Kubernetes> {
    let cluster = prepared_cluster()?;
    let definition = chart().join("files/crds/strategypipelines.yaml");
    cluster.kubectl(&[
        "apply",
        "--server-side",
        "--filename",
        &definition.display().to_string(),
    ])?;
    cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/strategypipelines.assay.dev",
        "--timeout=30s",
    ])?;
    Ok(cluster)
}

#[test]
fn the_samples_are_pipelines_that_the_api_server_accepts() -> Result<()> {
    let cluster = cluster_of_pipelines()?;
    for sample in std::fs::read_dir(chart().join("../../deploy/samples"))? {
        let path = sample?.path();
        dry_run(cluster, &std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[test]
fn the_api_server_refuses_what_each_rule_is_for_with_its_message() -> Result<()> {
    let cluster = cluster_of_pipelines()?;
    let documents = chart().join("../../crds/tests/documents");
    let read =
        |name: &str| -> Result<Value> { Ok(serde_saphyr::from_str(&std::fs::read_to_string(documents.join(name))?)?) };
    let (full, refused) = (read("full-v1.yaml")?, read("refused.yaml")?);
    let refuse = |case: &Value| -> Result<()> {
        let field = case["field"].as_str().context("field")?;
        let mut document = full.clone();
        *document.pointer_mut(field).context("the field is in the document")? = case["value"].clone();
        let answer = dry_run(cluster, &document.to_string());
        let told = format!("{:#}", answer.err().with_context(|| format!("{case} was accepted"))?);
        let message = case["message"].as_str().context("message")?;
        ensure!(told.contains(message), "{field}: {message:?} is missing in {told}");
        Ok(())
    };
    let cases = |kind: &str| refused[kind].as_array().context("cases");
    cases("creation")?.iter().try_for_each(refuse)?;
    // An empty field is neither there nor missing; as a given one it would satisfy a rule.
    refuse(
        &json!({"field": "/spec/kafka/security/credentialsSecret", "value": null, "message": "must be of type object"}),
    )?;
    let full = documents.join("full-v1.yaml");
    cluster.kubectl(&["apply", "--server-side", "--filename", &full.display().to_string()])?;
    cases("change")?.iter().try_for_each(refuse)
}

#[test]
fn a_misspelt_value_is_refused_by_name() -> Result<()> {
    let cluster = prepared_cluster()?;
    let wrong = ["--set", "uninstall.deletePipeline=true"];
    let refusal =
        helm(cluster, &["template", "assay"], &chart().join("values.yaml"), &wrong).expect_err("it is misspelt");
    assert!(format!("{refusal:#}").contains("deletePipeline"), "{refusal:#}");
    Ok(())
}

#[test]
fn the_operators_figures_keep_the_namespace_of_their_pipeline() -> Result<()> {
    let cluster = prepared_cluster()?;
    let objects = documents(&render(cluster, &chart().join("ci/monitored.yaml"))?)?;
    let monitor = objects.iter().find(|object| object["kind"] == "ServiceMonitor");
    let endpoint = &monitor.context("a ServiceMonitor")?["spec"]["endpoints"][0];
    assert_eq!(endpoint["honorLabels"], true);
    Ok(())
}

/// Helm waits five minutes for a hook unless it is told otherwise.
#[test]
fn the_jobs_of_an_uninstall_give_up_before_helm_does() -> Result<()> {
    let cluster = prepared_cluster()?;
    let delete = ["--set", "uninstall.deletePipelines=true"];
    let objects = documents(&helm(
        cluster,
        &["template", "assay"],
        &chart().join("values.yaml"),
        &delete,
    )?)?;
    let jobs: Vec<_> = objects.iter().filter(|object| object["kind"] == "Job").collect();
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
        assert!(arguments.contains("--timeout=4m"), "{arguments}");
    }
    Ok(())
}

#[test]
fn definitions_survive_an_uninstall() -> Result<()> {
    let cluster = prepared_cluster()?;
    let objects = render(cluster, &chart().join("values.yaml"))?;
    let definitions: Vec<_> = documents(&objects)?
        .into_iter()
        .filter(|o| o["kind"] == "CustomResourceDefinition")
        .collect();
    assert!(!definitions.is_empty());
    for definition in definitions {
        assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    Ok(())
}

#[test]
fn an_operator_of_two_namespaces_has_no_rights_in_a_third() -> Result<()> {
    let cluster = prepared_cluster()?;
    let objects = documents(&render(cluster, &chart().join("ci/namespaced.yaml"))?)?;
    for object in &objects {
        if object["kind"] == "ClusterRoleBinding" {
            anyhow::bail!("bound in the whole cluster: {object}");
        }
        if object["kind"] == "RoleBinding" {
            let namespace = object["metadata"]["namespace"].as_str().context("a namespace")?;
            assert!(
                ["assay-system", "trading", "research"].contains(&namespace),
                "{namespace}"
            );
        }
    }
    Ok(())
}

fn documents(yaml: &str) -> Result<Vec<serde_json::Value>> {
    let documents = serde_saphyr::from_multiple::<serde_json::Value>(yaml)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The pods that the rendered Deployments and Jobs would make.
fn pods(yaml: &str) -> Result<Vec<String>> {
    let mut pods = Vec::new();
    for mut object in documents(yaml)? {
        let template = &mut object["spec"]["template"];
        if template.is_null() {
            continue;
        }
        let mut pod = template.take();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "pod".into();
        pod["metadata"]["namespace"] = "assay-system".into();
        // Who runs it is checked elsewhere, and the account is made by the chart itself.
        pod["spec"]["serviceAccountName"] = "default".into();
        pods.push(pod.to_string());
    }
    ensure!(!pods.is_empty(), "nothing was rendered");
    Ok(pods)
}
