//! The container images, made without an engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/images")
        .join(name)
}

fn run(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Lays out and packs this very test program; gives the digest.
fn build(folder: &Path) -> Result<String> {
    let root = folder.join("root");
    let mut lay_out = Command::new(script("root-file-system"));
    run({
        lay_out.arg(std::env::current_exe()?).arg(&root);
        lay_out
    })?;
    let mut pack = Command::new(script("oci-layout"));
    pack.arg("--root")
        .arg(&root)
        .args(["--name", "example.org/program:1", "--entrypoint", "/usr/bin/program"]);
    pack.args(["--user", "65532"])
        .arg("--output")
        .arg(folder.join("image.tar"));
    run(pack)
}

#[test]
fn the_same_program_built_twice_is_the_same_image() -> Result<()> {
    let (first, second) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let digest = build(first.path())?;
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(digest, build(second.path())?);
    assert_eq!(
        std::fs::read(first.path().join("image.tar"))?,
        std::fs::read(second.path().join("image.tar"))?
    );
    Ok(())
}

#[test]
fn an_image_holds_the_loader_and_the_authorities_but_no_shell() -> Result<()> {
    let folder = tempfile::tempdir()?;
    build(folder.path())?;
    let root = folder.path().join("root");
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").exists());
    assert!(std::fs::read_to_string(root.join("etc/passwd"))?.starts_with("assay:x:65532:"));
    let listing = run({
        let mut find = Command::new("find");
        find.arg(&root).args(["-name", "ld-linux*"]);
        find
    })?;
    assert_eq!(listing.lines().count(), 1, "one loader: {listing}");
    assert!(!root.join("bin/sh").exists() && !root.join("usr/bin/sh").exists());
    Ok(())
}

/// The program itself, its loader and its libraries suffice: it runs where there is nothing else.
#[test]
fn a_program_runs_in_its_root_file_system_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    build(folder.path())?;
    let program = std::env::current_exe()?.file_name().context("a name")?.to_owned();
    let mut chroot = Command::new("unshare");
    chroot
        .args(["--user", "--map-root-user", "chroot"])
        .arg(folder.path().join("root"));
    chroot.arg(Path::new("/usr/bin").join(program)).arg("--list");
    assert!(run(chroot)?.contains("a_program_runs_in_its_root_file_system_alone"));
    Ok(())
}
