//! What goes wrong at Kafka.

use rdkafka::types::RDKafkaErrorCode;

/// What went wrong at Kafka, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// No broker answered in time.
    #[error("Kafka cannot be reached: {0}; check spec.kafka.bootstrapServers, the network and the brokers")]
    Unreachable(String),
    /// The credential is wrong, or the mechanism is not offered.
    #[error(
        "Kafka refused the login: {0}; correct the Secret that spec.kafka.security.credentialsSecret names, and spec.kafka.security.mechanism"
    )]
    LoginRefused(String),
    /// We do not believe the brokers.
    #[error(
        "the brokers' certificate is not accepted: {0}; the authorities in spec.kafka.security.caSecret must have signed it, it must not have expired, and it must hold the names in spec.kafka.bootstrapServers"
    )]
    BrokerCertificate(String),
    /// The brokers do not believe us.
    #[error(
        "the brokers do not accept this client's certificate: {0}; correct the Secret that spec.kafka.security.clientCertificateSecret names"
    )]
    ClientCertificate(String),
    /// The credential lacks a right.
    #[error("Kafka denied {0}; grant that ACL to the user of spec.kafka.security")]
    Denied(String),
    /// The brokers refused the request.
    #[error("Kafka refused: {0}")]
    Refused(String),
    /// The client could not be made.
    #[error("spec.kafka cannot be used: {0}; correct spec.kafka.security or clientConfig")]
    Configuration(String),
    /// A defect or lack of memory.
    #[error("internal: {0}")]
    Internal(String),
}

impl KafkaError {
    /// Names the right that a denied call would have needed.
    pub(super) fn wanting(self, right: &str) -> Self {
        match self {
            Self::Denied(reason) => Self::Denied(format!("{right} ({reason})")),
            other => other,
        }
    }

    /// Whether no call of this pass is worth its time: nobody answers, or we are not let in.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::LoginRefused(_) | Self::BrokerCertificate(_) | Self::ClientCertificate(_)
        )
    }

    /// Sorts an error code of librdkafka.
    pub(super) fn from_code(code: RDKafkaErrorCode, reason: &str) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = if reason.is_empty() {
            code.to_string()
        } else {
            reason.to_owned()
        };
        match code {
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                Self::Denied(reason)
            }
            Code::Authentication | Code::SaslAuthenticationFailed => Self::LoginRefused(reason),
            Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::SSL
            | Code::Resolve => Self::Unreachable(reason),
            _ => Self::Refused(reason),
        }
    }

    pub(super) fn from_client(error: &rdkafka::error::KafkaError) -> Self {
        let code = match error {
            rdkafka::error::KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(code) => Self::from_code(code, &error.to_string()),
            None => Self::Internal(error.to_string()),
        }
    }
}
