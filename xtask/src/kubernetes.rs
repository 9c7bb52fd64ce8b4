//! `cargo xtask kubernetes`: builds the Kubernetes that the tests run, once, into the cache.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    host::Arch,
    images,
    packages::{self, Install, Needs},
    project, releases, shell,
};

/// What the build is made of: another one is built when this changes.
const PARTS: [&str; 2] = ["build", "main.go"];

/// Builds the images and releases of the scenarios with this Kubernetes.
pub(crate) fn images(outcrop: &Path) -> Result<(), Error> {
    images::build(outcrop, "edge-kube.toml", &Arch::ALL)?;
    releases::build_kubernetes(outcrop, &[Arch::X86_64])?;
    Ok(())
}

/// Whether the cache has it for `archs`.
pub(crate) fn is_built(archs: &[Arch]) -> Result<bool, Error> {
    Ok(missing(&cached()?, archs).is_empty())
}

/// Where the cache has what these sources build.
fn cached() -> Result<PathBuf, Error> {
    let folder = sources();
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
    Ok(project::cache().join("kubernetes").join(digest))
}

fn sources() -> PathBuf {
    project::root().join("qemu-tests/kubernetes")
}

/// Debian's names of the architectures that `output` lacks.
fn missing(output: &Path, archs: &[Arch]) -> Vec<&'static str> {
    archs
        .iter()
        .map(|arch| arch.debian())
        .filter(|name| !output.join(format!("kube-single-{name}")).exists())
        .collect()
}

/// Builds what the cache lacks; the folder that holds `kube-single-amd64` and `kube-single-arm64`, where `recipes/edge-kube.toml` looks for them.
pub(crate) fn build(install: Install, archs: &[Arch]) -> Result<PathBuf, Error> {
    let output = cached()?;
    let missing = missing(&output, archs);
    if !missing.is_empty() {
        packages::ensure(Needs::Kubernetes, install)?;
        // Its sources and intermediate files are 3 GB that nobody needs afterwards.
        let work = project::target().join("kubernetes-build");
        let mut build = Command::new(sources().join("build"));
        shell::run(build.arg(&work).arg(&output).args(&missing))?;
        fs::remove_dir_all(&work).map_err(|source| Error::File {
            doing: "remove",
            path: work,
            source,
        })?;
    }
    let link = project::root().join("target/kubernetes");
    let linked = match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(project::root().join("target")).and_then(|()| symlink(&output, &link)),
    };
    linked.map_err(|source| Error::File {
        doing: "make the link",
        path: link.clone(),
        source,
    })?;
    Ok(link)
}
