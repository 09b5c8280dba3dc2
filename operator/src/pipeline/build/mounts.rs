//! What is mounted into a processor and which variables say where: its manifest, its instance, and each Secret as a file.

use assay_crds::StrategyPipelineSpec;
use assay_crds::spec::SecuritySpec;
use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount};

use super::config_map::{PIPELINE_KEY, REVISION_KEY};

const CONFIG_FOLDER: &str = "/etc/assay/config";
const SECRETS_FOLDER: &str = "/etc/assay/secrets";

/// One key of a Secret as a file, and the variable that names the file.
struct SecretFile<'a> {
    /// Volume and folder.
    purpose: &'static str,
    secret: &'a str,
    key: &'a str,
    variable: &'static str,
}

fn secret_files(spec: &StrategyPipelineSpec) -> Vec<SecretFile<'_>> {
    let results = &spec.results;
    let file = |purpose, secret, key, variable| SecretFile {
        purpose,
        secret,
        key,
        variable,
    };
    let mut files = vec![
        file(
            "postgres",
            &*results.postgres.secret.name,
            &*results.postgres.secret.key,
            "ASSAY_POSTGRES_URL_FILE",
        ),
        file(
            "redis",
            &*results.redis.secret.name,
            &*results.redis.secret.key,
            "ASSAY_REDIS_URL_FILE",
        ),
    ];
    let Some(SecuritySpec {
        credentials_secret,
        client_certificate_secret,
        ca_secret,
        ..
    }) = &spec.kafka.security
    else {
        return files;
    };
    if let Some(login) = credentials_secret {
        files.push(file(
            "kafka-username",
            &login.name,
            &login.username_key,
            "ASSAY_KAFKA_USERNAME_FILE",
        ));
        files.push(file(
            "kafka-password",
            &login.name,
            &login.password_key,
            "ASSAY_KAFKA_PASSWORD_FILE",
        ));
    }
    if let Some(client) = client_certificate_secret {
        files.push(file(
            "kafka-certificate",
            &client.name,
            &client.certificate_key,
            "ASSAY_KAFKA_CERTIFICATE_FILE",
        ));
        files.push(file(
            "kafka-private-key",
            &client.name,
            &client.private_key_key,
            "ASSAY_KAFKA_PRIVATE_KEY_FILE",
        ));
    }
    if let Some(authority) = ca_secret {
        files.push(file("kafka-ca", &authority.name, &authority.key, "ASSAY_KAFKA_CA_FILE"));
    }
    files
}

pub(super) fn environment(spec: &StrategyPipelineSpec) -> Vec<EnvVar> {
    let variable = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let config = [
        variable("ASSAY_PIPELINE_FILE", format!("{CONFIG_FOLDER}/{PIPELINE_KEY}")),
        variable("ASSAY_REVISION_FILE", format!("{CONFIG_FOLDER}/{REVISION_KEY}")),
    ];
    let files = secret_files(spec);
    let secrets = files
        .iter()
        .map(|file| variable(file.variable, format!("{SECRETS_FOLDER}/{}/value", file.purpose)));
    config.into_iter().chain(secrets).collect()
}

pub(super) fn volumes(spec: &StrategyPipelineSpec, config_map: &str) -> Vec<Volume> {
    let config = Volume {
        name: "assay-config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    std::iter::once(config)
        .chain(secret_files(spec).iter().map(secret_volume))
        .collect()
}

fn secret_volume(file: &SecretFile<'_>) -> Volume {
    let item = KeyToPath {
        key: file.key.to_owned(),
        path: "value".to_owned(),
        mode: None,
    };
    let source = SecretVolumeSource {
        secret_name: Some(file.secret.to_owned()),
        items: Some(vec![item]),
        default_mode: Some(0o440),
        optional: None,
    };
    Volume {
        name: format!("assay-{}", file.purpose),
        secret: Some(source),
        ..Volume::default()
    }
}

pub(super) fn volume_mounts(spec: &StrategyPipelineSpec) -> Vec<VolumeMount> {
    let mount = |name: &str, path: String| VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let files = secret_files(spec);
    let secrets = files.iter().map(|f| {
        mount(
            &format!("assay-{}", f.purpose),
            format!("{SECRETS_FOLDER}/{}", f.purpose),
        )
    });
    std::iter::once(mount("assay-config", CONFIG_FOLDER.to_owned()))
        .chain(secrets)
        .collect()
}
