//! Prints what is generated from the types: the custom resource definition, the JSON schema, the manifest reference.
//!
//! `make generate` writes them to their places; CI compares.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let text = match (arguments.next().as_deref(), arguments.next()) {
        (Some("crd"), None) => assay_crds::schema::crd_yaml(),
        (Some("schema"), None) => assay_crds::schema::schema_json(),
        (Some("reference"), None) => Ok(assay_crds::reference::markdown()),
        _ => Err("usage: crdgen crd | schema | reference".into()),
    };
    match text.and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}
