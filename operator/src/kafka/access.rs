//! Why the brokers do not let us in. librdkafka fails a call with a mere timeout and tells the reason beside it, as an event
//! of the client; here it is kept until a call works. Nothing here holds a credential.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::handle::KafkaError;

/// Remembers the last refusal since a call worked.
#[derive(Debug, Default)]
pub(super) struct AccessWatch(Mutex<Option<KafkaError>>);

impl AccessWatch {
    /// A call worked.
    pub(super) fn works(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for AccessWatch {
    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        let refusal = error.rdkafka_error_code().and_then(|code| refusal(code, reason));
        if refusal.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        }
    }
}

impl ConsumerContext for AccessWatch {}

/// How long to look for events. Without any time, a line of the client's log in front of them would end the look.
const EVENTS: Duration = Duration::from_millis(50);

/// Takes the events of a consumer that reads nothing; gives the refusal, if there is one.
pub(super) fn refusal_of(consumer: &BaseConsumer<AccessWatch>) -> Option<KafkaError> {
    while consumer.poll(EVENTS).is_some() {}
    let refusal = consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    refusal.clone()
}

/// What an event says; `None` for one that passes by itself, such as a broker that is down.
fn refusal(code: RDKafkaErrorCode, reason: &str) -> Option<KafkaError> {
    match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some(KafkaError::LoginRefused(reason.to_owned()))
        }
        _ if reason.contains("certificate verify failed") => Some(KafkaError::BrokerCertificate(reason.to_owned())),
        // An alert is the other side's word; one of TLS 1.3 comes after our side of the handshake is done.
        _ if reason.contains(" alert ") => Some(KafkaError::ClientCertificate(reason.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::password(RDKafkaErrorCode::Authentication, "SASL authentication error", "credentialsSecret")]
    #[case::authority(RDKafkaErrorCode::SSL, "SSL routines::certificate verify failed", "caSecret")]
    #[case::no_certificate(
        RDKafkaErrorCode::BrokerTransportFailure,
        "tlsv13 alert certificate required: SSL alert number 116",
        "clientCertificateSecret"
    )]
    fn a_refusal_names_its_setting(#[case] code: RDKafkaErrorCode, #[case] reason: &str, #[case] setting: &str) {
        let refusal = refusal(code, reason).unwrap().to_string();
        assert!(refusal.contains(setting) && refusal.contains(reason), "{refusal}");
    }

    #[test]
    fn a_broker_that_is_down_is_no_refusal() {
        assert_eq!(
            refusal(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused"),
            None
        );
    }
}
