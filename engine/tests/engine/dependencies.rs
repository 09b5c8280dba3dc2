//! The engine stays a pure function: nothing that waits, connects or stores may become a dependency of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Names, or beginnings of names, of crates that do I/O or schedule work.
const FORBIDDEN: [&str; 16] = [
    "tokio", "async", "futures", "mio", "hyper", "reqwest", "axum", "rdkafka", "sqlx", "redis", "rusqlite", "postgres",
    "kube", "k8s", "socket2", "rand",
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// What a package needs when it is used, not when it is tested or built.
fn needs(node: &Value) -> Vec<String> {
    let is_used = |dependency: &&Value| {
        dependency["dep_kinds"]
            .as_array()
            .unwrap()
            .iter()
            .any(|kind| kind["kind"].is_null())
    };
    let used = node["deps"].as_array().unwrap().iter().filter(is_used);
    used.map(|dependency| dependency["pkg"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_engine_needs_no_crate_that_does_io() {
    let metadata = metadata();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let mut open: Vec<String> = names
        .iter()
        .filter(|(_, name)| **name == "assay-engine")
        .map(|(id, _)| (*id).to_owned())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(needs(nodes[id.as_str()]));
        }
    }
    let used: BTreeSet<&str> = seen.iter().map(|id| names[id.as_str()]).collect();
    assert!(used.contains("postcard") && used.len() < 40, "{used:?}");
    let forbidden: Vec<_> = used
        .iter()
        .filter(|name| FORBIDDEN.iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
