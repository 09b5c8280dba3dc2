//! Why a pass failed, and what people are told of it.

use super::build::BuildError;
use crate::kafka::KafkaError;
use crate::store::StoreError;

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// What stands in the cluster is not known.
    #[error("no list of Deployments and ConfigMaps came in {0} s; check the operator's role and the API server")]
    Unlisted(u64),
    /// The API server refused a write.
    #[error("the API server refused {what}: {source}; check the operator's role and the admission policies")]
    Write {
        /// What was written.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Kafka refused a write.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The result store refused a promotion.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A revision's settings cannot be read.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A watch has ended: which pipelines there are is not known.
    #[error("a watch of pipelines has ended; the operator restarts")]
    WatchEnded,
    /// It took too long.
    #[error("the pass took longer than {0} s; trying again")]
    Timeout(u64),
}

impl PassError {
    /// A refused write.
    pub(super) fn write(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Write {
            what,
            source: Box::new(source),
        }
    }

    /// Whether the object was changed by somebody else between reading and writing it.
    #[must_use]
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }

    /// The event's reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unlisted(_) => "ReadRefused",
            Self::Write { .. } => "WriteRefused",
            Self::Kafka(_) => "KafkaFailed",
            Self::Store(_) => "StoreFailed",
            Self::Build(_) => "BuildFailed",
            Self::WatchEnded => "WatchEnded",
            Self::Timeout(_) => "Timeout",
        }
    }
}
