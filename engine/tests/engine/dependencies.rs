//! The engine stays a pure function: nothing that waits, connects or stores may become a dependency of it.

use std::collections::BTreeSet;
use std::process::Command;

/// Names, or beginnings of names, of crates that do I/O or schedule work.
const FORBIDDEN: [&str; 16] = [
    "tokio", "async", "futures", "mio", "hyper", "reqwest", "axum", "rdkafka", "sqlx", "redis", "rusqlite", "postgres",
    "kube", "k8s", "socket2", "rand",
];

/// What the engine needs when it is used, not when it is tested or built.
fn needed_crates() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "assay-engine", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("cargo tree prints text");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    lines.lines().map(name).collect()
}

#[test]
fn the_engine_needs_no_crate_that_does_io() {
    let needed = needed_crates();
    assert!(needed.contains("postcard") && needed.len() < 40, "{needed:?}");
    let forbidden: Vec<_> = needed
        .iter()
        .filter(|name| FORBIDDEN.iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
