//! The packages of a root file system, and how much of it is theirs.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{RootReader, error::Fault};
use crate::{erofs::Node, finish::DPKG_STATUS, tree::TreePath};

/// Longest package database, and longest list of one package's files, that is read.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageFacts {
    /// Name.
    pub name: String,
    /// Version, as the distribution writes it.
    pub version: String,
    /// Debian's name of the architecture; `all` when it fits every one.
    pub architecture: String,
    /// Bytes of its files in this image, which may be less than the package has, or more: kernel modules are unpacked.
    pub bytes: u64,
}

/// Name, version and architecture of every package, in the order of the database.
pub(crate) fn database(root: &RootReader) -> Result<Vec<PackageFacts>, Fault> {
    let path: TreePath = DPKG_STATUS.parse().map_err(|_| Fault::Status)?;
    let status = text(root, &path)?.ok_or(Fault::Status)?;
    let database: deb822_fast::Deb822 = status.parse().map_err(|_| Fault::Status)?;
    database
        .iter()
        .map(|paragraph| {
            Some(PackageFacts {
                name: paragraph.get("Package")?.to_owned(),
                version: paragraph.get("Version")?.to_owned(),
                architecture: paragraph.get("Architecture")?.to_owned(),
                bytes: 0,
            })
        })
        .collect::<Option<_>>()
        .ok_or(Fault::Status)
}

/// Every package with its bytes, by name.
pub(super) fn weighed(root: &RootReader) -> Result<Vec<PackageFacts>, Fault> {
    let mut packages = database(root)?;
    measure(&mut packages, root)?;
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    Ok(packages)
}

/// Adds up the files of each package by the lists in the database; a path in two lists counts for the first.
/// A package without a list keeps 0.
fn measure(packages: &mut [PackageFacts], root: &RootReader) -> Result<(), Fault> {
    let mut sizes = sizes(root)?;
    for package in packages {
        let listed = list(root, package)?.unwrap_or_default();
        let own = listed.lines().map(|line| line.trim_start_matches('/'));
        package.bytes = own.filter_map(|path| sizes.remove(path)).sum();
    }
    Ok(())
}

/// Length of every regular file; of several names of one file the first has it.
fn sizes(root: &RootReader) -> Result<HashMap<String, u64>, Fault> {
    let mut sizes = HashMap::new();
    let mut linked = BTreeMap::new();
    for entry in root.walk() {
        let entry = entry?;
        if let Node::File { size, .. } = entry.node {
            let first = entry.links == 1 || linked.insert(entry.inode, ()).is_none();
            sizes.insert(entry.path.as_str().to_owned(), if first { size } else { 0 });
        }
    }
    Ok(sizes)
}

/// The list of a package's files: under its name, or with the architecture where several may be installed.
fn list(root: &RootReader, package: &PackageFacts) -> Result<Option<String>, Fault> {
    let PackageFacts {
        name, architecture, ..
    } = package;
    let folder = DPKG_STATUS.trim_end_matches("status");
    for file in [format!("{name}.list"), format!("{name}:{architecture}.list")] {
        let path = format!("{folder}info/{file}")
            .parse()
            .map_err(|_| Fault::Status)?;
        if let Some(list) = text(root, &path)? {
            return Ok(Some(list));
        }
    }
    Ok(None)
}

fn text(root: &RootReader, path: &TreePath) -> Result<Option<String>, Fault> {
    let bytes = root.read_file(path, MAX_TEXT_BYTES)?;
    bytes
        .map(|bytes| String::from_utf8(bytes).map_err(|_| Fault::Status))
        .transpose()
}
