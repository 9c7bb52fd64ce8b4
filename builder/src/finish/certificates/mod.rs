//! The certificates step: the authorities that TLS clients trust, as ca-certificates' postinst leaves them.
//!
//! One bundle (`/etc/ssl/certs/ca-certificates.crt`), one link per authority, and one link per authority whose name is
//! OpenSSL's hash of its subject, which is how OpenSSL finds it in a folder.

mod der;
mod name_hash;
mod pem;

use std::collections::BTreeMap;

use super::{
    edit,
    error::{CertificateError, FinishError},
};
use crate::tree::{Node, Tree, TreePath};

/// Folders with one PEM certificate per `.crt` file: the package's, and the one for a recipe's own authorities.
const SOURCES: [&str; 2] = ["usr/share/ca-certificates", "usr/local/share/ca-certificates"];
const TARGET: &str = "etc/ssl/certs";

/// Writes the bundle and the links. Without certificates there is nothing to do.
///
/// # Errors
/// When a `.crt` file holds no certificate.
pub(super) fn run(tree: &mut Tree) -> Result<(), FinishError> {
    let authorities = read(tree)?;
    if authorities.is_empty() {
        return Ok(());
    }
    let bundle: String = authorities
        .iter()
        .map(|authority| authority.pem.as_str())
        .collect();
    edit::write_text(tree, &format!("{TARGET}/ca-certificates.crt"), &bundle)?;
    // Of equal names the recipe's own wins, and of equal certificates one is hashed, as by `openssl rehash`.
    let by_name: BTreeMap<&str, &Authority> = authorities
        .iter()
        .map(|authority| (authority.name.as_str(), authority))
        .collect();
    let mut hashed: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for authority in by_name.into_values() {
        let name = format!("{}.pem", authority.name);
        edit::link(
            tree,
            &format!("{TARGET}/{name}"),
            &format!("/{}", authority.path.as_str()),
        )?;
        let same = hashed.entry(authority.hash).or_default();
        if !same.contains(&authority.pem.as_str()) {
            let number = same.len();
            edit::link(tree, &format!("{TARGET}/{:08x}.{number}", authority.hash), &name)?;
            same.push(&authority.pem);
        }
    }
    Ok(())
}

struct Authority {
    name: String,
    path: TreePath,
    pem: String,
    hash: u32,
}

/// All authorities, by file name; among equals the package's first.
fn read(tree: &Tree) -> Result<Vec<Authority>, FinishError> {
    let mut authorities = Vec::new();
    for source in SOURCES {
        let folder: TreePath = source.parse().map_err(FinishError::Path)?;
        for (path, entry) in tree.below(&folder) {
            let name = path.file_name().and_then(|name| name.strip_suffix(".crt"));
            if let (Some(name), Node::File(..)) = (name, &entry.node) {
                authorities.push(authority(tree, name, path)?);
            }
        }
    }
    authorities.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(authorities)
}

fn authority(tree: &Tree, name: &str, path: &TreePath) -> Result<Authority, FinishError> {
    let text = edit::read_text(tree, path)?.unwrap_or_default();
    let certificate = pem::pem(&text).ok_or_else(|| CertificateError::Pem(path.clone()))?;
    let subject = der::subject(&certificate).map_err(|reason| CertificateError::Der {
        path: path.clone(),
        reason,
    })?;
    let hash = name_hash::of(subject).map_err(|reason| CertificateError::Der {
        path: path.clone(),
        reason,
    })?;
    let name = name.replace([' ', ','], "_").replace(['(', ')'], "=");
    let pem = format!("{}\n", text.trim_end());
    Ok(Authority {
        name,
        path: path.clone(),
        pem,
        hash,
    })
}

#[cfg(test)]
mod tests;
