//! Nobody talks to a processor but for its metrics and health. Where it may connect to is left to the cluster: brokers and stores lie
//! at addresses that only their owners know.

use assay_crds::StrategyPipeline;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ADMIN_PORT, shared_name};
use crate::names;

pub(super) fn build(pipeline: &StrategyPipeline) -> NetworkPolicy {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    let metrics = NetworkPolicyPort {
        port: Some(IntOrString::Int(ADMIN_PORT)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    NetworkPolicy {
        metadata: names::metadata(pipeline, shared_name(pipeline), names::labels(name)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(names::selector(name, None)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(vec![metrics]),
            }]),
            egress: None,
        }),
    }
}
