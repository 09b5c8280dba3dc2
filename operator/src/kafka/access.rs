//! Why the brokers do not let us in. librdkafka fails a call with a mere timeout and tells the reason beside it; here the reason is kept
//! until a call works. Nothing here holds a credential.

use std::sync::{Mutex, PoisonError};

use rdkafka::types::RDKafkaErrorCode;

use super::error::KafkaError;

/// Remembers the last refusal since a call worked.
#[derive(Debug, Default)]
pub(super) struct AccessWatch(Mutex<Option<KafkaError>>);

impl AccessWatch {
    /// A call worked.
    pub(super) fn works(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// No call works, and the client told these errors since the last look: gives the refusal, if there is one. librdkafka does not
    /// repeat an error within half a minute, so an older one counts where there is none among them.
    pub(super) fn refusal(&self, told: &[(RDKafkaErrorCode, String)]) -> Option<KafkaError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = told.iter().rev().find_map(|(code, reason)| refusal(*code, reason));
        if new.is_some() {
            known.clone_from(&new);
        }
        known.clone()
    }
}

/// What an error says; `None` for one that passes by itself, such as a broker that is down.
fn refusal(code: RDKafkaErrorCode, reason: &str) -> Option<KafkaError> {
    let reason = without_circumstances(reason);
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

/// Without the broker that said it first, how long that took and how often it was said since: those differ each time one refusal is
/// told, and it must read the same.
fn without_circumstances(reason: &str) -> &str {
    let reason = reason.rsplit_once(" (after ").map_or(reason, |(cause, _)| cause);
    match reason.split_once(": ") {
        Some((broker, cause)) if broker.contains("://") || broker == "GroupCoordinator" => cause,
        _ => reason,
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

    #[rstest]
    #[case(
        RDKafkaErrorCode::Authentication,
        "sasl_ssl://a:9093/bootstrap: SASL authentication error: wrong (password) (after 310ms in state AUTH_REQ)",
        "sasl_ssl://[::1]:9094/2: SASL authentication error: wrong (password) (after 9ms in state AUTH_REQ, 4 identical error(s) suppressed)",
        "SASL authentication error: wrong (password)"
    )]
    #[case(
        RDKafkaErrorCode::SSL,
        "ssl://a:9093/bootstrap: SSL handshake failed: certificate verify failed (install ca-certificates) (after 1ms in state SSL_HANDSHAKE)",
        "GroupCoordinator: SSL handshake failed: certificate verify failed (install ca-certificates)",
        "SSL handshake failed: certificate verify failed (install ca-certificates)"
    )]
    fn a_refusal_told_again_by_any_broker_reads_the_same(
        #[case] code: RDKafkaErrorCode,
        #[case] first: &str,
        #[case] again: &str,
        #[case] cause: &str,
    ) {
        let told = refusal(code, first);
        assert_eq!(told, refusal(code, again));
        let told = told.unwrap().to_string();
        assert!(told.contains(&format!(": {cause}; ")), "{told}");
    }

    #[test]
    fn a_refusal_is_kept_until_a_call_works() {
        let watch = AccessWatch::default();
        let refused = (RDKafkaErrorCode::Authentication, "SASL authentication error".to_owned());
        let down = (
            RDKafkaErrorCode::BrokerTransportFailure,
            "Connection refused".to_owned(),
        );
        assert!(watch.refusal(&[refused, down.clone()]).is_some());
        assert!(watch.refusal(&[down]).is_some(), "not repeated, still true");
        watch.works();
        assert_eq!(watch.refusal(&[]), None);
    }

    #[test]
    fn a_broker_that_is_down_is_no_refusal() {
        assert_eq!(
            refusal(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused"),
            None
        );
    }
}
