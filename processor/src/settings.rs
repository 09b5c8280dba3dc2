//! From the manifest, the revision and the environment to what a run needs; and from `crds`' settings to the engine's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_crds::spec::{CommitSpec, KafkaSpec, SettingsSpec};
use assay_crds::{
    DurationText, ENGINE_SEMANTICS, Problems, RevisionInputs, RevisionInstance, StrategyPipeline, ValidatedSettings,
    ValidatedStrategy, canonical_settings, load_pipeline, validate_settings,
};
use assay_engine::Settings;
use assay_engine::settings::{RangeBreakoutSettings, StrategySettings, SymbolSettings, VwapReversionSettings};

use crate::args::RunArgs;
use crate::ingest::client::Connection;
use crate::resilience::RetryPolicy;
use crate::run_config::{PipelineIdentity, RunConfig};
use crate::secret::{Secret, SecretError};
use crate::stores::StartOffsets;
use crate::tls::{Named, TlsMaterial};

/// How long one question to Kafka may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}; check {option}")]
    Unreadable {
        /// Path.
        path: String,
        /// The option that names it.
        option: &'static str,
        /// Cause.
        source: std::io::Error,
    },
    /// The manifest is wrong.
    #[error("the manifest is not valid:\n{0}")]
    Manifest(#[from] Problems),
    /// The revision file is wrong.
    #[error("{path} is no revision file: {cause}; it is written by the operator and never edited")]
    Revision {
        /// Path.
        path: String,
        /// Cause.
        cause: serde_json::Error,
    },
    /// The revision was made for another engine.
    #[error(
        "revision {revision} was made for engine semantics {wanted}, this build has {ENGINE_SEMANTICS}: its results would change half-way; run the build that made it, or let the operator make a new revision"
    )]
    EngineSemantics {
        /// Revision.
        revision: String,
        /// The revision's.
        wanted: u32,
    },
    /// A credential is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Everything `assay run` was told, decided.
///
/// # Errors
/// A file, a field or a credential is missing or wrong.
pub fn load(args: &RunArgs) -> Result<(StrategyPipeline, RunConfig), SettingsError> {
    let pipeline = load_pipeline(&read(&args.pipeline, "--pipeline")?)?;
    let config = match &args.revision {
        Some(path) => from_instance(&pipeline, of_this_engine(read_instance(path)?)?, args)?,
        None => standalone(&pipeline, args)?,
    };
    Ok((pipeline, config))
}

/// The configuration where this process decides the revision. The topic's id is not part of it: a recreated topic is then
/// told as such, and `--instance` answers it.
///
/// # Errors
/// The manifest or a credential is wrong.
pub fn standalone(pipeline: &StrategyPipeline, args: &RunArgs) -> Result<RunConfig, SettingsError> {
    from_instance(pipeline, standalone_instance(pipeline, args.instance)?, args)
}

/// The revision that a process without an operator works for: so a backtest and a run of one manifest share it.
///
/// # Errors
/// The manifest's settings are wrong.
pub fn standalone_instance(pipeline: &StrategyPipeline, ordinal: u32) -> Result<RevisionInstance, Problems> {
    let settings = canonical_settings(&pipeline.spec.settings)?;
    let (topic, partitions) = (pipeline.spec.source.topic.clone(), pipeline.spec.source.partitions);
    let inputs = RevisionInputs {
        settings: &settings,
        engine_semantics: ENGINE_SEMANTICS,
        topic_identity: "",
        partitions,
    };
    let identity = identity_of(pipeline);
    Ok(RevisionInstance {
        pipeline: identity.uid,
        cluster: identity.cluster,
        namespace: identity.namespace,
        name: identity.name,
        revision: inputs.id(ordinal).to_string(),
        engine_semantics: ENGINE_SEMANTICS,
        topic,
        topic_identity: String::new(),
        partitions,
        settings,
        offsets: Vec::new(),
    })
}

fn from_instance(
    pipeline: &StrategyPipeline,
    instance: RevisionInstance,
    args: &RunArgs,
) -> Result<RunConfig, SettingsError> {
    let spec = &pipeline.spec;
    let document: SettingsSpec = serde_json::from_str(&instance.settings).map_err(|cause| SettingsError::Revision {
        path: "revision settings".into(),
        cause,
    })?;
    let settings = engine_settings(&instance.revision, validate_settings(&document)?);
    let CommitSpec {
        interval,
        publish_interval,
        max_rows,
    } = &spec.processor.commit;
    Ok(RunConfig {
        group: spec
            .kafka
            .consumer_group(&instance.namespace, &instance.name, &instance.revision),
        pipeline: PipelineIdentity {
            uid: instance.pipeline,
            cluster: instance.cluster,
            namespace: instance.namespace,
            name: instance.name,
        },
        revision: instance.revision,
        settings_document: instance.settings,
        settings: Arc::new(settings),
        engine_semantics: i32::try_from(instance.engine_semantics).unwrap_or(i32::MAX),
        offsets: (!instance.offsets.is_empty()).then(|| instance.offsets.iter().map(start_offsets).collect()),
        kafka: connection(&spec.kafka)?,
        topic: instance.topic,
        topic_identity: instance.topic_identity,
        dead_letter_topic: spec.dead_letters.as_ref().map(|letters| letters.topic.clone()),
        partitions: instance.partitions,
        commit_interval: duration(interval, "spec.processor.commit.interval")?,
        publish_interval: duration(publish_interval, "spec.processor.commit.publishInterval")?,
        max_rows: *max_rows as usize,
        snapshot_bytes: args.snapshot_bytes,
        workers: args.workers,
        drain_budget: args.drain_budget,
        retry: RetryPolicy {
            give_up_after: args.patience,
            ..RetryPolicy::default()
        },
        call_timeout: CALL_TIMEOUT,
        admin: Some(args.admin),
    })
}

/// A pipeline without a uid gets one from its namespace and name, the same at every start.
fn identity_of(pipeline: &StrategyPipeline) -> PipelineIdentity {
    let metadata = &pipeline.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = metadata.name.clone().unwrap_or_default();
    let derived = || blake3::hash(format!("assay pipeline\n{namespace}\n{name}").as_bytes()).to_hex()[..32].to_owned();
    PipelineIdentity {
        uid: metadata.uid.clone().unwrap_or_else(derived),
        cluster: "local".to_owned(),
        namespace,
        name,
    }
}

fn connection(kafka: &KafkaSpec) -> Result<Connection, SecretError> {
    let security = kafka.security.as_ref();
    let named = Named {
        authority: security.is_some_and(|s| s.ca_secret.is_some()),
        identity: security.is_some_and(|s| s.client_certificate_secret.is_some()),
    };
    Ok(Connection {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        security_protocol: security.map(|security| security.protocol.as_str().to_owned()),
        sasl_mechanism: security
            .and_then(|security| security.mechanism)
            .map(|mechanism| mechanism.as_str().to_owned()),
        username: credential(
            security.is_some_and(|s| s.credentials_secret.is_some()),
            "ASSAY_KAFKA_USERNAME",
        )?,
        password: credential(
            security.is_some_and(|s| s.credentials_secret.is_some()),
            "ASSAY_KAFKA_PASSWORD",
        )?,
        tls: TlsMaterial::find("ASSAY_KAFKA", named)?,
        group_protocol: kafka.group_protocol,
        client_config: kafka.client_config.clone(),
    })
}

fn credential(wanted: bool, variable: &str) -> Result<Option<Secret>, SecretError> {
    if wanted {
        Secret::require(variable).map(Some)
    } else {
        Ok(None)
    }
}

fn duration(text: &DurationText, field: &str) -> Result<Duration, Problems> {
    let micros = text
        .micros()
        .map_err(|error| assay_crds::Problem::new(field, error.to_string()))?;
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn start_offsets(offsets: &assay_crds::InstanceOffsets) -> StartOffsets {
    StartOffsets {
        partition: offsets.partition,
        start_offset: offsets.start_offset,
        live_from_offset: offsets.live_from_offset,
    }
}

pub(crate) fn read(path: &Path, option: &'static str) -> Result<String, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable {
        path: path.display().to_string(),
        option,
        source,
    };
    std::fs::read_to_string(path).map_err(unreadable)
}

fn read_instance(path: &Path) -> Result<RevisionInstance, SettingsError> {
    let text = read(path, "--revision")?;
    serde_json::from_str(&text).map_err(|cause| SettingsError::Revision {
        path: path.display().to_string(),
        cause,
    })
}

/// A revision's results are those of one engine: this build goes on with no other's.
fn of_this_engine(instance: RevisionInstance) -> Result<RevisionInstance, SettingsError> {
    if instance.engine_semantics == ENGINE_SEMANTICS {
        return Ok(instance);
    }
    Err(SettingsError::EngineSemantics {
        revision: instance.revision,
        wanted: instance.engine_semantics,
    })
}

/// The engine's settings: the validated ones and the revision's id, which every forecast id carries.
#[must_use]
pub fn engine_settings(revision: &str, validated: ValidatedSettings) -> Settings {
    Settings {
        revision: revision.to_owned(),
        lateness_us: validated.lateness_us,
        dedupe_window_us: validated.dedupe_window_us,
        vwap_window_s: validated.vwap_window_s,
        profile_window_s: validated.profile_window_s,
        range_bar_s: validated.range_bar_s,
        range_bars: validated.range_bars,
        strategies: validated
            .strategies
            .into_iter()
            .map(|(name, strategy)| (name, engine_strategy(&strategy)))
            .collect(),
        horizon_us: validated.horizon_us,
        volatility_multiple: validated.volatility_multiple,
        stale_after_us: validated.stale_after_us,
        prior_strength: validated.prior_strength,
        decay_outcomes: validated.decay_outcomes,
        learning_rate: validated.learning_rate,
        symbols: validated
            .symbols
            .into_iter()
            .map(|(symbol, s)| {
                (
                    symbol,
                    SymbolSettings {
                        tick_size: s.tick_size,
                        bucket_size: s.bucket_size,
                    },
                )
            })
            .collect(),
    }
}

fn engine_strategy(strategy: &ValidatedStrategy) -> StrategySettings {
    match *strategy {
        ValidatedStrategy::VwapReversion {
            entry_z,
            exit_z,
            max_z,
            min_trades,
            min_deviation_ticks,
        } => StrategySettings::VwapReversion(VwapReversionSettings {
            entry_z,
            exit_z,
            max_z,
            min_trades,
            min_deviation_ticks,
        }),
        ValidatedStrategy::RangeBreakout {
            volume_ratio,
            volume_bars,
        } => StrategySettings::RangeBreakout(RangeBreakoutSettings {
            volume_ratio,
            volume_bars,
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::commands::run::RunError;

    const MAJORS: &str = include_str!("../../crds/tests/documents/majors.yaml");

    /// What `assay run` loads where its operator decided on a revision of this engine.
    fn loaded(engine_semantics: u32) -> Result<RunConfig, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, revision) = (folder.path().join("pipeline.yaml"), folder.path().join("revision.json"));
        let instance = RevisionInstance {
            engine_semantics,
            ..standalone_instance(&load_pipeline(MAJORS)?, 1)?
        };
        std::fs::write(&manifest, MAJORS).unwrap();
        std::fs::write(&revision, serde_json::to_string(&instance).unwrap()).unwrap();
        let (manifest, revision) = (manifest.to_str().unwrap(), revision.to_str().unwrap());
        let cli = Cli::parse_from(["assay", "run", "--pipeline", manifest, "--revision", revision]);
        let Command::Run(args) = cli.command else {
            panic!("it runs")
        };
        Ok(load(&args)?.1)
    }

    #[test]
    fn a_revision_of_another_engine_is_refused_with_both_numbers() {
        let error = RunError::from(loaded(ENGINE_SEMANTICS + 1).unwrap_err());
        assert_eq!(error.exit_code(), 40);
        let numbers = format!(
            "engine semantics {}, this build has {ENGINE_SEMANTICS}",
            ENGINE_SEMANTICS + 1
        );
        assert!(error.to_string().contains(&numbers), "{error}");
        assert!(loaded(ENGINE_SEMANTICS).is_ok());
    }
}
