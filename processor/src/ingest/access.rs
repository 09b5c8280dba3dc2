//! Why the brokers do not let us in. librdkafka fails a call with a mere timeout and tells the reason beside it, as an event
//! of the client; here it is kept until a call works, and sorted by the setting that mends it. Nothing here holds a credential.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// A refusal that stays until somebody changes a setting. The reason is librdkafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAccess {
    /// Unknown user, wrong password, or a mechanism that the brokers do not offer.
    #[error(
        "Kafka refused the login: {0}; correct user and password in spec.kafka.security.credentialsSecret (ASSAY_KAFKA_USERNAME, ASSAY_KAFKA_PASSWORD), and spec.kafka.security.mechanism"
    )]
    Login(String),
    /// We do not believe the brokers.
    #[error(
        "the brokers' certificate is not accepted: {0}; the authorities in spec.kafka.security.caSecret (ASSAY_KAFKA_CA) must have signed it, it must not have expired, and it must hold the names in spec.kafka.bootstrapServers"
    )]
    BrokerCertificate(String),
    /// The brokers do not believe us.
    #[error(
        "the brokers do not accept this client's certificate: {0}; correct spec.kafka.security.clientCertificateSecret (ASSAY_KAFKA_CERTIFICATE, ASSAY_KAFKA_PRIVATE_KEY)"
    )]
    ClientCertificate(String),
}

impl NoAccess {
    /// What an event says; `None` for one that passes by itself, such as a broker that is down.
    fn from_event(code: RDKafkaErrorCode, reason: &str) -> Option<Self> {
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(Self::Login(reason.to_owned()))
            }
            _ if reason.contains("certificate verify failed") => Some(Self::BrokerCertificate(reason.to_owned())),
            // An alert is the other side's word; one of TLS 1.3 comes after our side of the handshake is done.
            _ if reason.contains(" alert ") => Some(Self::ClientCertificate(reason.to_owned())),
            _ => None,
        }
    }
}

/// Remembers the last refusal since a call worked.
#[derive(Debug, Default)]
pub struct AccessWatch(Mutex<Option<NoAccess>>);

impl AccessWatch {
    /// The refusal, if there is one.
    #[must_use]
    pub fn refusal(&self) -> Option<NoAccess> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A call worked.
    pub fn works(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes what the client tells.
    pub fn notice(&self, error: &KafkaError, reason: &str) {
        let refusal = error
            .rdkafka_error_code()
            .and_then(|code| NoAccess::from_event(code, reason));
        if refusal.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        }
    }
}

impl ClientContext for AccessWatch {
    fn error(&self, error: KafkaError, reason: &str) {
        self.notice(&error, reason);
    }
}

impl ConsumerContext for AccessWatch {}

/// How long to look for events. Without any time, a line of the client's log in front of them would end the look.
const EVENTS: Duration = Duration::from_millis(50);

/// Takes the events of a consumer that belongs to no group and reads nothing; gives the refusal, if there is one.
#[must_use]
pub fn refusal_of(consumer: &BaseConsumer<AccessWatch>) -> Option<NoAccess> {
    while consumer.poll(EVENTS).is_some() {}
    consumer.context().refusal()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn watched(code: RDKafkaErrorCode, reason: &str) -> Option<NoAccess> {
        let watch = AccessWatch::default();
        watch.notice(&KafkaError::Global(code), reason);
        watch.refusal()
    }

    #[rstest]
    #[case::password(RDKafkaErrorCode::Authentication, "SASL authentication error", "credentialsSecret")]
    #[case::authority(RDKafkaErrorCode::SSL, "SSL routines::certificate verify failed", "caSecret")]
    #[case::no_certificate(
        RDKafkaErrorCode::BrokerTransportFailure,
        "tlsv13 alert certificate required: SSL alert number 116",
        "clientCertificateSecret"
    )]
    fn a_refusal_names_its_setting(#[case] code: RDKafkaErrorCode, #[case] reason: &str, #[case] setting: &str) {
        let refusal = watched(code, reason).unwrap().to_string();
        assert!(refusal.contains(setting) && refusal.contains(reason), "{refusal}");
    }

    #[rstest]
    #[case::down(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused")]
    #[case::cut(RDKafkaErrorCode::SSL, "SSL handshake failed: Disconnected")]
    #[case::all_down(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down")]
    fn what_passes_by_itself_is_no_refusal(#[case] code: RDKafkaErrorCode, #[case] reason: &str) {
        assert_eq!(watched(code, reason), None);
    }

    #[test]
    fn a_refusal_is_kept_until_a_call_works() {
        let watch = AccessWatch::default();
        watch.notice(&KafkaError::Global(RDKafkaErrorCode::Authentication), "no");
        watch.notice(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "all down");
        assert!(watch.refusal().is_some());
        watch.works();
        assert_eq!(watch.refusal(), None);
    }
}
