//! The processors of one revision.

use std::collections::BTreeMap;

use assay_crds::spec::{Migrations, PodSpec as PodExtras, PostgresSpec};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ADMIN_PORT, Blueprint, RevisionBlueprint, mounts, service_account};
use crate::names;

/// Name of the container that processes.
pub(crate) const PROCESSOR: &str = "processor";
/// How long a processor may drain at its end, seconds; the grace period leaves room above it.
const DRAIN_SECONDS: i64 = 20;
const GRACE_SECONDS: i64 = 45;

pub(super) fn build(blueprint: &Blueprint<'_>, revision: &RevisionBlueprint, config_map: &str) -> Deployment {
    let instance = &revision.instance;
    let labels = names::revision_labels(&instance.name, &instance.revision);
    let name = names::revision_name(&instance.name, &instance.revision);
    // No surplus pod: a group with more members than the spec says would move partitions twice.
    let rolling = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(0)),
        max_unavailable: Some(IntOrString::Int(1)),
    };
    Deployment {
        metadata: names::metadata(blueprint.pipeline, name, labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(revision.replicas),
            revision_history_limit: Some(2),
            selector: LabelSelector {
                match_labels: Some(names::selector(&instance.name, Some(&instance.revision))),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rolling),
            }),
            template: template(blueprint, config_map, labels, image(blueprint, revision)),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// What a revision must keep, else what the manifest names, else ours.
fn image<'a>(blueprint: &Blueprint<'a>, revision: &'a RevisionBlueprint) -> &'a str {
    let named = blueprint.pipeline.spec.processor.image.as_deref();
    let image = revision.image.as_deref().or(named);
    image.unwrap_or(blueprint.default_image)
}

fn template(
    blueprint: &Blueprint<'_>,
    config_map: &str,
    labels: BTreeMap<String, String>,
    image: &str,
) -> PodTemplateSpec {
    let extras = &blueprint.pipeline.spec.processor.pod;
    let mut all_labels = extras.labels.clone();
    all_labels.extend(labels);
    let mut annotations = extras.annotations.clone();
    annotations.insert(names::SECRETS_HASH.to_owned(), blueprint.secrets.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(blueprint, config_map, image)),
    }
}

fn pod(blueprint: &Blueprint<'_>, config_map: &str, image: &str) -> PodSpec {
    let spec = &blueprint.pipeline.spec;
    let extras = &spec.processor.pod;
    let mut volumes = mounts::volumes(spec, config_map);
    volumes.extend(extras.volumes.iter().cloned());
    PodSpec {
        service_account_name: Some(service_account::name(blueprint.pipeline)),
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        init_containers: migrate(blueprint, image).map(|container| vec![container]),
        containers: vec![processor(blueprint, image)],
        volumes: Some(volumes),
        security_context: Some(extras.security_context.clone().unwrap_or_else(pod_security)),
        image_pull_secrets: some(&extras.image_pull_secrets),
        priority_class_name: extras.priority_class_name.clone(),
        runtime_class_name: extras.runtime_class_name.clone(),
        node_selector: (!extras.node_selector.is_empty()).then(|| extras.node_selector.clone()),
        tolerations: some(&extras.tolerations),
        affinity: extras.affinity.clone(),
        topology_spread_constraints: some(&extras.topology_spread_constraints),
        ..PodSpec::default()
    }
}

fn processor(blueprint: &Blueprint<'_>, image: &str) -> Container {
    let spec = &blueprint.pipeline.spec;
    let extras = &spec.processor.pod;
    let mut env = mounts::environment(spec);
    env.extend([
        variable("ASSAY_ADMIN", &format!("0.0.0.0:{ADMIN_PORT}")),
        variable("ASSAY_DRAIN_SECONDS", &DRAIN_SECONDS.to_string()),
    ]);
    env.extend(extras.env.iter().cloned());
    let mut volume_mounts = mounts::volume_mounts(spec);
    volume_mounts.extend(extras.volume_mounts.iter().cloned());
    Container {
        args: Some(vec!["run".to_owned()]),
        env: Some(env),
        volume_mounts: Some(volume_mounts),
        ports: Some(vec![ContainerPort {
            name: Some("metrics".to_owned()),
            container_port: ADMIN_PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(spec.processor.resources.clone().unwrap_or_else(default_resources)),
        // Long enough for a slow first connection; afterwards the poll thread must move.
        startup_probe: Some(probe("/livez", 2, 30)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        ..container(PROCESSOR, image, extras)
    }
}

/// Brings the tables up to date before the processor starts; an advisory lock lets one pod do it while the others wait.
fn migrate(blueprint: &Blueprint<'_>, image: &str) -> Option<Container> {
    let spec = &blueprint.pipeline.spec;
    let PostgresSpec {
        secret,
        ca_secret: _,
        client_certificate_secret: _,
        schema,
        migrations,
        admin_secret,
    } = &spec.results.postgres;
    if *migrations == Migrations::External {
        return None;
    }
    let secret = admin_secret.as_ref().unwrap_or(secret);
    let reference = SecretKeySelector {
        name: secret.name.clone(),
        key: secret.key.clone(),
        optional: None,
    };
    let url = EnvVar {
        name: "ASSAY_POSTGRES_URL".to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(reference),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    let mut environment = vec![url, variable("ASSAY_POSTGRES_SCHEMA", schema)];
    environment.extend(mounts::migration_environment(spec));
    let volume_mounts = mounts::migration_mounts(spec);
    Some(Container {
        args: Some(vec!["migrate".to_owned()]),
        env: Some(environment),
        volume_mounts: (!volume_mounts.is_empty()).then_some(volume_mounts),
        resources: Some(migrate_resources()),
        ..container("migrate", image, &spec.processor.pod)
    })
}

fn container(name: &str, image: &str, extras: &PodExtras) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: extras.image_pull_policy.clone(),
        security_context: Some(container_security()),
        ..Container::default()
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(65_532),
        run_as_group: Some(65_532),
        fs_group: Some(65_532),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
        .collect()
}

/// No CPU limit: throttling would only add lag.
fn default_resources() -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "250m"), ("memory", "128Mi")])),
        limits: Some(quantities(&[("memory", "512Mi")])),
        claims: None,
    }
}

fn migrate_resources() -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "10m"), ("memory", "32Mi")])),
        limits: Some(quantities(&[("memory", "128Mi")])),
        claims: None,
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
