//! What is mounted into a processor and which variables say where: its manifest, its instance, and each Secret as a file.

use assay_crds::StrategyPipelineSpec;
use assay_crds::spec::{ClientCertificateSecret, CredentialsSecret, SecretKey, SecuritySpec};
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

/// Every Secret that a processor uses.
fn secret_files(spec: &StrategyPipelineSpec) -> Vec<SecretFile<'_>> {
    let (postgres, redis) = (&spec.results.postgres, &spec.results.redis);
    let mut files = vec![
        url_file("postgres", &postgres.secret, "ASSAY_POSTGRES_URL_FILE"),
        url_file("redis", &redis.secret, "ASSAY_REDIS_URL_FILE"),
    ];
    files.extend(postgres_certificates(spec));
    files.extend(certificates(
        &REDIS,
        redis.ca_secret.as_ref(),
        redis.client_certificate_secret.as_ref(),
    ));
    let Some(security) = &spec.kafka.security else {
        return files;
    };
    let SecuritySpec {
        protocol: _,
        mechanism: _,
        credentials_secret,
        client_certificate_secret,
        ca_secret,
    } = security;
    files.extend(credentials_secret.iter().flat_map(login_files));
    files.extend(certificates(
        &KAFKA,
        ca_secret.as_ref(),
        client_certificate_secret.as_ref(),
    ));
    files
}

/// What a migration needs beside its URL.
fn postgres_certificates(spec: &StrategyPipelineSpec) -> Vec<SecretFile<'_>> {
    let postgres = &spec.results.postgres;
    certificates(
        &POSTGRES,
        postgres.ca_secret.as_ref(),
        postgres.client_certificate_secret.as_ref(),
    )
}

fn url_file<'a>(purpose: &'static str, secret: &'a SecretKey, variable: &'static str) -> SecretFile<'a> {
    SecretFile {
        purpose,
        secret: &secret.name,
        key: &secret.key,
        variable,
    }
}

fn login_files(login: &CredentialsSecret) -> [SecretFile<'_>; 2] {
    let file = |purpose, key, variable| SecretFile {
        purpose,
        secret: &login.name,
        key,
        variable,
    };
    [
        file("kafka-username", &login.username_key, "ASSAY_KAFKA_USERNAME_FILE"),
        file("kafka-password", &login.password_key, "ASSAY_KAFKA_PASSWORD_FILE"),
    ]
}

/// Volume and variable for the certificate, the private key and the authority of one server's connection.
type CertificateNames = [(&'static str, &'static str); 3];

const KAFKA: CertificateNames = [
    ("kafka-certificate", "ASSAY_KAFKA_CERTIFICATE_FILE"),
    ("kafka-private-key", "ASSAY_KAFKA_PRIVATE_KEY_FILE"),
    ("kafka-ca", "ASSAY_KAFKA_CA_FILE"),
];
const POSTGRES: CertificateNames = [
    ("postgres-certificate", "ASSAY_POSTGRES_CERTIFICATE_FILE"),
    ("postgres-private-key", "ASSAY_POSTGRES_PRIVATE_KEY_FILE"),
    ("postgres-ca", "ASSAY_POSTGRES_CA_FILE"),
];
const REDIS: CertificateNames = [
    ("redis-certificate", "ASSAY_REDIS_CERTIFICATE_FILE"),
    ("redis-private-key", "ASSAY_REDIS_PRIVATE_KEY_FILE"),
    ("redis-ca", "ASSAY_REDIS_CA_FILE"),
];

fn certificates<'a>(
    names: &CertificateNames,
    authority: Option<&'a SecretKey>,
    client: Option<&'a ClientCertificateSecret>,
) -> Vec<SecretFile<'a>> {
    let authority = authority.map(|secret| (&secret.name, &secret.key));
    let certificate = client.map(|secret| (&secret.name, &secret.certificate_key));
    let private_key = client.map(|secret| (&secret.name, &secret.private_key_key));
    let given = names.iter().zip([certificate, private_key, authority]);
    given
        .filter_map(|(&(purpose, variable), given)| {
            let (secret, key) = given?;
            Some(SecretFile {
                purpose,
                secret,
                key,
                variable,
            })
        })
        .collect()
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
    config
        .into_iter()
        .chain(secret_files(spec).iter().map(path_variable))
        .collect()
}

/// For the container that migrates: how to verify Postgres, and what to show it.
pub(super) fn migration_environment(spec: &StrategyPipelineSpec) -> Vec<EnvVar> {
    postgres_certificates(spec).iter().map(path_variable).collect()
}

/// See [`migration_environment`].
pub(super) fn migration_mounts(spec: &StrategyPipelineSpec) -> Vec<VolumeMount> {
    postgres_certificates(spec).iter().map(secret_mount).collect()
}

fn path_variable(file: &SecretFile<'_>) -> EnvVar {
    EnvVar {
        name: file.variable.to_owned(),
        value: Some(format!("{SECRETS_FOLDER}/{}/value", file.purpose)),
        value_from: None,
    }
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
    std::iter::once(mount("assay-config".to_owned(), CONFIG_FOLDER.to_owned()))
        .chain(secret_files(spec).iter().map(secret_mount))
        .collect()
}

fn secret_mount(file: &SecretFile<'_>) -> VolumeMount {
    mount(
        format!("assay-{}", file.purpose),
        format!("{SECRETS_FOLDER}/{}", file.purpose),
    )
}

fn mount(name: String, mount_path: String) -> VolumeMount {
    VolumeMount {
        name,
        mount_path,
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
