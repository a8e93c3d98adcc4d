//! The programs that are measured: built here, side by side, with the same profile.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use zip::write::SimpleFileOptions;

/// A program to measure.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

/// Package, and its manifest within the project.
const BUILT_HERE: [(&str, &str); 4] = [
    ("callgate", "Cargo.toml"),
    ("tutorial", "crates/bench/peers/tutorial/Cargo.toml"),
    ("getitem", "crates/bench/peers/getitem/Cargo.toml"),
    ("floor", "crates/bench/peers/floor/Cargo.toml"),
];

/// Builds callgate and its peers for release.
pub(crate) fn build(project: &Path) -> anyhow::Result<Vec<Contender>> {
    BUILT_HERE.iter().map(|(package, manifest)| build_one(project, package, manifest)).collect()
}

/// Builds a package of the project for release.
pub(crate) fn build_one(project: &Path, package: &str, manifest: &str) -> anyhow::Result<Contender> {
    let target = project.join("target/bench");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", package, "--manifest-path"])
        .arg(project.join(manifest))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cannot run cargo")?;
    anyhow::ensure!(built.success(), "cannot build `{package}`");
    Ok(Contender { name: package.to_owned(), program: target.join("release").join(package) })
}

/// A built program's size, alone and in a zip such as Lambda takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) binary: u64,
    pub(crate) zip: u64,
}

impl Contender {
    /// Takes `NAME=PROGRAM`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, program) = text.split_once('=').ok_or("expected NAME=PROGRAM")?;
        let program = std::fs::canonicalize(program).map_err(|error| format!("`{program}`: {error}"))?;
        Ok(Self { name: name.to_owned(), program })
    }

    pub(crate) fn size(&self) -> anyhow::Result<Size> {
        let binary = std::fs::read(&self.program)?;
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
        archive.write_all(&binary)?;
        let zip = archive.finish()?.into_inner();
        Ok(Size { binary: binary.len().try_into()?, zip: zip.len().try_into()? })
    }
}
