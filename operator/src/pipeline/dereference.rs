//! All reads of a pass. What cannot be read is kept as an error beside the rest: which of them matters is for `validate` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use assay_crds::{RevisionInstance, StrategyPipeline};

use super::others::{claims_beside, claims_of, moving, named_beside};
use crate::children::Workload;
use crate::context::Context;
use crate::kafka::{Bounds, Connection, KafkaError, KafkaHandle, OffsetQuestion, TopicFound};
use crate::names::PipelineKey;
use crate::secrets::PipelineSecrets;
use crate::store::{Store, StoreError, StoreView};
use crate::topics::{Claim, wishes};

/// Everything that was found.
pub struct Found {
    /// The pipeline.
    pub pipeline: Arc<StrategyPipeline>,
    /// Its coordinates.
    pub key: PipelineKey,
    /// What its Secrets hold.
    pub secrets: PipelineSecrets,
    /// The brokers.
    pub kafka: Result<Arc<KafkaHandle>, KafkaError>,
    /// Topics by name.
    pub topics: BTreeMap<String, Result<Option<TopicFound>, KafkaError>>,
    /// Whether brokers create topics by themselves; `None` = not known.
    pub auto_creation: Option<bool>,
    /// This pipeline's claims, and those of all others on the same brokers.
    pub claims: Vec<Claim>,
    /// See `claims`.
    pub other_claims: Vec<Claim>,
    /// Topics of this pipeline that another one names, which is to stay.
    pub named_by_others: BTreeSet<String>,
    /// Other pipelines that cannot be read: whatever topic they name.
    pub unreadable: usize,
    /// Uids of pipelines that are moving to another revision now, this one left out.
    pub moving: BTreeSet<String>,
    /// The log of the source topic.
    pub bounds: Result<Bounds, KafkaError>,
    /// First offsets inside the history window, as [`KafkaHandle::offsets`] gives them; read only where a new instance may be needed.
    pub at_history: Option<BTreeMap<i32, Option<i64>>>,
    /// The result store.
    pub store: Result<Store, StoreError>,
    /// What it knows.
    pub view: Result<StoreView, StoreError>,
    /// Deployments by revision.
    pub workloads: BTreeMap<String, Workload>,
    /// Instances of ConfigMaps by revision.
    pub instances: BTreeMap<String, RevisionInstance>,
    /// Names of all ConfigMaps of revisions.
    pub config_maps: Vec<String>,
    /// When.
    pub at: Instant,
    /// The same by the clock, milliseconds since the epoch.
    pub now_ms: i64,
}

impl Found {
    /// Id of the source topic; `None` where it is missing or not known.
    #[must_use]
    pub fn topic_identity(&self) -> Option<&str> {
        let topic = self.topics.get(&self.pipeline.spec.source.topic)?;
        Some(&topic.as_ref().ok()?.as_ref()?.description.id)
    }
}

/// Reads everything.
pub async fn dereference(context: &Context, pipeline: Arc<StrategyPipeline>) -> Found {
    let key = PipelineKey::of(&pipeline);
    let spec = &pipeline.spec;
    let secrets = context.secrets.of_pipeline(&key.namespace, spec).await;
    let kafka = match &secrets.kafka {
        Ok(credentials) => context.kafka.get(&Connection::new(&spec.kafka, credentials)),
        Err(error) => Err(KafkaError::Configuration(error.to_string())),
    };
    let store = match &secrets.postgres {
        Ok(credentials) => context.stores.get(credentials, &spec.results.postgres.schema),
        Err(error) => Err(StoreError::Secret(error.clone())),
    };
    let (topics, auto_creation, bounds) = read_kafka(&pipeline, &kafka).await;
    let view = match &store {
        Ok(store) => store.view(&key.uid).await,
        Err(error) => Err(error.clone()),
    };
    let workloads = context.deployments.of(&key.namespace, &key.name);
    let config_maps = context.config_maps.of(&key.namespace, &key.name);
    let all = context.pipelines();
    let unreadable = all.iter().filter(|guard| guard.0.is_err()).count();
    let readable = all.iter().filter_map(|guard| guard.0.as_ref().ok());
    let others: Vec<&StrategyPipeline> = readable
        .filter(|other| other.metadata.uid != pipeline.metadata.uid)
        .collect();
    let ids = ids(&topics);
    let mut found = Found {
        config_maps: config_maps.keys().cloned().collect(),
        instances: instances(config_maps, &key),
        workloads: workloads
            .into_values()
            .map(|workload| (workload.revision.clone(), workload))
            .collect(),
        key,
        secrets,
        kafka,
        topics,
        auto_creation,
        claims: claims_of(&pipeline),
        other_claims: claims_beside(&pipeline, &ids, &others),
        named_by_others: named_beside(&pipeline, &ids, &others),
        unreadable,
        moving: moving(&others),
        bounds,
        at_history: None,
        store,
        view,
        at: Instant::now(),
        now_ms: jiff::Timestamp::now().as_millisecond(),
        pipeline,
    };
    read_for_start(&mut found).await;
    found
}

type KafkaReads = (
    BTreeMap<String, Result<Option<TopicFound>, KafkaError>>,
    Option<bool>,
    Result<Bounds, KafkaError>,
);

async fn read_kafka(pipeline: &StrategyPipeline, kafka: &Result<Arc<KafkaHandle>, KafkaError>) -> KafkaReads {
    let wishes = wishes(&pipeline.spec);
    let kafka = match kafka {
        Ok(kafka) => kafka,
        Err(error) => {
            let topics = wishes.into_iter().map(|wish| (wish.name, Err(error.clone()))).collect();
            return (topics, None, Err(error.clone()));
        }
    };
    let mut topics: BTreeMap<String, Result<Option<TopicFound>, KafkaError>> = BTreeMap::new();
    let mut silence = None;
    for wish in wishes {
        // Brokers that did not answer once are not asked again in this pass: each silence costs seconds.
        let found = match &silence {
            Some(error) => Err(KafkaError::clone(error)),
            None => kafka.topic(&wish.name).await,
        };
        silence = silence.or_else(|| found.as_ref().err().filter(|error| error.is_silence()).cloned());
        topics.insert(wish.name, found);
    }
    if let Some(error) = silence {
        return (topics, None, Err(error));
    }
    let source = &pipeline.spec.source;
    let bounds = match topics.get(&source.topic) {
        Some(Ok(Some(topic))) => kafka.bounds(&source.topic, &topic.description).await,
        _ => Ok(Bounds::new()),
    };
    (topics, kafka.creates_topics_by_itself().await, bounds)
}

fn ids(topics: &BTreeMap<String, Result<Option<TopicFound>, KafkaError>>) -> BTreeSet<String> {
    let there = topics.values().filter_map(|topic| topic.as_ref().ok()?.as_ref());
    let ids = there.map(|topic| topic.description.id.clone());
    ids.filter(|id| !id.is_empty()).collect()
}

/// A new instance begins at what its topic is now, not at what it was some seconds ago, and where the history window begins.
async fn read_for_start(found: &mut Found) {
    if !super::validate::rollout(found).is_some_and(|rollout| rollout.is_new) {
        return;
    }
    read_topics_again(found).await;
    found.at_history = read_history(found).await;
}

/// Reads topics anew, whatever was known of them.
pub(super) async fn read_topics_again(found: &mut Found) {
    if let Ok(kafka) = &found.kafka {
        found.topics.keys().for_each(|topic| kafka.forget(topic));
    }
    let (topics, _, bounds) = read_kafka(&found.pipeline, &found.kafka).await;
    (found.topics, found.bounds) = (topics, bounds);
}

async fn read_history(found: &Found) -> Option<BTreeMap<i32, Option<i64>>> {
    let spec = &found.pipeline.spec;
    let history_ms = spec.settings.history_window.micros().ok()? / 1000;
    let question = OffsetQuestion::AtTime(found.now_ms - history_ms);
    let kafka = found.kafka.as_ref().ok()?;
    kafka
        .offsets(&spec.source.topic, spec.source.partitions, question)
        .await
        .ok()
}

/// Instances of this pipeline: those of an earlier one of its name are of no use, because their rows are under another uid.
fn instances(
    config_maps: BTreeMap<String, Option<RevisionInstance>>,
    key: &PipelineKey,
) -> BTreeMap<String, RevisionInstance> {
    let all = config_maps.into_values().flatten();
    let ours = all.filter(|instance| instance.pipeline == key.uid);
    ours.map(|instance| (instance.revision.clone(), instance)).collect()
}
