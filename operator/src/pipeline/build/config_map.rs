//! What a revision's processors are told, immutable. Its name ends with a hash of its content: what changes without a new revision
//! (commit intervals, brokers) gets a new ConfigMap and rolls the pods.

use std::collections::BTreeMap;

use assay_crds::spec::{DeadLettersSpec, PodSpec, ProcessorSpec, ResultsSpec, RolloutSpec, ScalingSpec, SourceSpec};
use assay_crds::{GROUP, RevisionInstance, StrategyPipeline, StrategyPipelineSpec, VERSION};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::BuildError;
use crate::names;

/// Key of the manifest.
pub(super) const PIPELINE_KEY: &str = "pipeline.json";
/// Key of the instance.
pub(crate) const REVISION_KEY: &str = "revision.json";
const HASH_DIGITS: usize = 8;

pub(super) fn build(pipeline: &StrategyPipeline, instance: &RevisionInstance) -> Result<ConfigMap, BuildError> {
    let failed = |error: serde_json::Error| BuildError {
        revision: instance.revision.clone(),
        reason: error.to_string(),
    };
    let spec = what_processors_read(&pipeline.spec, instance).map_err(failed)?;
    let manifest = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "StrategyPipeline",
        "metadata": {"name": instance.name, "namespace": instance.namespace},
        "spec": spec,
    });
    let data = BTreeMap::from([
        (PIPELINE_KEY.to_owned(), manifest.to_string()),
        (
            REVISION_KEY.to_owned(),
            serde_json::to_string(instance).map_err(failed)?,
        ),
    ]);
    let base = names::revision_name(&instance.name, &instance.revision);
    let name = format!("{base}-{}", digest(&data));
    Ok(ConfigMap {
        metadata: names::metadata(
            pipeline,
            name,
            names::revision_labels(&instance.name, &instance.revision),
        ),
        immutable: Some(true),
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// Without what only the operator reads: scaling a pipeline, or another retention of its topic, must not restart its pods. Settings and
/// partitions are the revision's, and what is left out takes its default, so that the document stays whole and valid.
fn what_processors_read(
    spec: &StrategyPipelineSpec,
    instance: &RevisionInstance,
) -> Result<StrategyPipelineSpec, serde_json::Error> {
    let results = json!({"postgres": spec.results.postgres, "redis": spec.results.redis});
    let processor = ProcessorSpec {
        commit: spec.processor.commit.clone(),
        pod: PodSpec::default(),
        ..ProcessorSpec::default()
    };
    Ok(StrategyPipelineSpec {
        kafka: spec.kafka.clone(),
        source: source(instance)?,
        dead_letters: spec.dead_letters.as_ref().map(dead_letters).transpose()?,
        settings: serde_json::from_str(&instance.settings)?,
        results: serde_json::from_value::<ResultsSpec>(results)?,
        processor,
        scaling: ScalingSpec::default(),
        rollout: RolloutSpec::default(),
        suspend: false,
    })
}

fn source(instance: &RevisionInstance) -> Result<SourceSpec, serde_json::Error> {
    serde_json::from_value(json!({"topic": instance.topic, "partitions": instance.partitions}))
}

fn dead_letters(dead: &DeadLettersSpec) -> Result<DeadLettersSpec, serde_json::Error> {
    serde_json::from_value(json!({"topic": dead.topic}))
}

fn digest(data: &BTreeMap<String, String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in data.iter().flat_map(|(key, value)| [key, value]) {
        hasher.update(part.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex()[..HASH_DIGITS].to_owned()
}
