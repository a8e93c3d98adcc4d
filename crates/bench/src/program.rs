//! The programs to measure, built with the same profile.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use zip::write::SimpleFileOptions;

/// A program to measure.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Packages to compare, each with the path of its manifest in the project.
const PACKAGES: [(&str, &str); 4] = [
    ("callgate", "Cargo.toml"),
    ("tutorial", "crates/bench/peers/tutorial/Cargo.toml"),
    ("getitem", "crates/bench/peers/getitem/Cargo.toml"),
    ("floor", "crates/bench/peers/floor/Cargo.toml"),
];

/// Builds callgate and its peers with the release profile.
pub(crate) fn build_all(project: &Path) -> anyhow::Result<Vec<Program>> {
    PACKAGES.iter().map(|(package, manifest)| build(project, package, manifest)).collect()
}

/// Builds a package of the project with the release profile.
pub(crate) fn build(project: &Path, package: &str, manifest: &str) -> anyhow::Result<Program> {
    let target = project.join("target/bench");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", package, "--manifest-path"])
        .arg(project.join(manifest))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cannot run `cargo`")?;
    anyhow::ensure!(status.success(), "cannot build `{package}`");
    Ok(Program { name: package.to_owned(), path: target.join("release").join(package) })
}

/// The size of a program and of its deployment package (zip), in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) binary: u64,
    pub(crate) zip: u64,
}

impl Program {
    /// Parses `NAME=PROGRAM`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or("expected `NAME=PROGRAM`")?;
        let path = std::fs::canonicalize(path).map_err(|error| format!("`{path}`: {error}"))?;
        Ok(Self { name: name.to_owned(), path })
    }

    pub(crate) fn size(&self) -> anyhow::Result<Size> {
        let binary = std::fs::read(&self.path)?;
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
        archive.write_all(&binary)?;
        let zip = archive.finish()?.into_inner();
        Ok(Size { binary: binary.len().try_into()?, zip: zip.len().try_into()? })
    }
}
