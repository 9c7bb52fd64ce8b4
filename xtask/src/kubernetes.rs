//! `cargo xtask kubernetes`: builds the Kubernetes that the tests run, once, into the cache.

use std::{fs, path::PathBuf, process::Command};

use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    host::Arch,
    packages::{self, Install, Needs},
    project, shell,
};

/// What the build is made of: another one is built when this changes.
const PARTS: [&str; 2] = ["build", "main.go"];

/// Builds what the cache lacks; the folder that holds `kube-single-amd64` and `kube-single-arm64`.
pub(crate) fn build(install: Install, archs: &[Arch]) -> Result<PathBuf, Error> {
    let folder = project::root().join("qemu-tests/kubernetes");
    let mut hash = Sha256::new();
    for part in PARTS {
        let path = folder.join(part);
        hash.update(fs::read(&path).map_err(|source| Error::File {
            doing: "read",
            path,
            source,
        })?);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let output = project::cache().join("kubernetes").join(digest);
    let missing: Vec<&str> = archs
        .iter()
        .map(|arch| arch.debian())
        .filter(|name| !output.join(format!("kube-single-{name}")).exists())
        .collect();
    if !missing.is_empty() {
        packages::ensure(Needs::Kubernetes, install)?;
        // Its sources and intermediate files are 3 GB that nobody needs afterwards.
        let work = project::target().join("kubernetes");
        let mut build = Command::new(folder.join("build"));
        shell::run(build.arg(&work).arg(&output).args(&missing))?;
        fs::remove_dir_all(&work).map_err(|source| Error::File {
            doing: "remove",
            path: work,
            source,
        })?;
    }
    Ok(output)
}
