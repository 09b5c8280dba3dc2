//! The parts of a `StrategyPipeline`'s spec, one file a block; their doc comments are what `kubectl explain` prints.
//!
//! They are plain text for a terminal, hence without backticks. No type here denies unknown fields: an older operator must be able to read a newer object.

// Doc comments become `kubectl explain`, where backticks are noise.
#![allow(clippy::doc_markdown)]

mod kafka;
mod processor;
mod results;
mod rollout;
mod scaling;
mod settings;
mod source;
mod strategies;

pub use kafka::{
    ClientCertificateSecret, CredentialsSecret, GroupProtocol, KafkaSpec, OWNED_CLIENT_KEYS, OWNED_CLIENT_PREFIXES,
    SaslMechanism, SecretKey, SecurityProtocol, SecuritySpec, is_owned_client_key,
};
pub use processor::{CommitSpec, PodSpec, ProcessorSpec, ServiceAccountSpec};
pub use results::{Migrations, PostgresSpec, RedisSpec, ResultsSpec};
pub use rollout::{OnTimeout, RolloutSpec, RolloutStrategy};
pub use scaling::{ScalingMode, ScalingSpec};
pub use settings::{EvaluationSpec, IndicatorsSpec, ProbabilitySpec, SettingsSpec, SymbolSpec};
pub use source::{DeadLettersSpec, DeletionPolicy, Management, SourceSpec};
pub use strategies::{RangeBreakoutSpec, StrategySpec, StrategyType, VwapReversionSpec};
