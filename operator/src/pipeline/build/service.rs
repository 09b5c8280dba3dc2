//! Headless: it gives scrapers the addresses of all processors, and balances nothing.

use assay_crds::StrategyPipeline;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ADMIN_PORT, shared_name};
use crate::names;

pub(super) fn build(pipeline: &StrategyPipeline) -> Service {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    Service {
        metadata: names::metadata(pipeline, shared_name(pipeline), names::labels(name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(names::selector(name, None)),
            ports: Some(vec![ServicePort {
                name: Some("metrics".to_owned()),
                port: ADMIN_PORT,
                target_port: Some(IntOrString::String("metrics".to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
