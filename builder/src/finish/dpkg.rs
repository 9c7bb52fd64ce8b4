//! The package database, below /usr, so that scanners see what is installed.
//!
//! Formats: dpkg(1) `status`, `info/PACKAGE.list`, `.md5sums`, `.conffiles`. It is a record, not for changing packages:
//! the root is read-only. The list files name what is really in the image.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    edit,
    error::FinishError,
    inputs::{Inputs, InstalledPackage},
};
use crate::tree::Tree;

/// Where it is.
pub(super) const DATABASE: &str = "usr/lib/sysimage/dpkg";
/// Where scanners look for it, below /var: a link.
pub(super) const IN_VAR: &str = "lib/dpkg";

/// Writes the database.
///
/// # Errors
/// When a control paragraph has no `Package` or a conffile has no hash.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    let mut status = String::new();
    for package in inputs.packages {
        let hashes = hashes(&package.md5sums);
        status.push_str(&paragraph(package, &hashes)?);
        status.push('\n');
        info(tree, package)?;
    }
    edit::write_text(tree, &format!("{DATABASE}/status"), &status)
}

/// MD5 by path without leading slash.
fn hashes(md5sums: &str) -> BTreeMap<&str, &str> {
    md5sums.lines().filter_map(|line| line.split_once("  ")).map(|(hash, path)| (path, hash)).collect()
}

/// The control paragraph with `Status` after `Package`, and `Conffiles` before what may be long.
fn paragraph(package: &InstalledPackage, hashes: &BTreeMap<&str, &str>) -> Result<String, FinishError> {
    let malformed = |reason: &str| FinishError::Control { package: package.name.clone(), reason: reason.to_owned() };
    let (first, rest) = package.control.trim_end().split_once('\n').ok_or_else(|| malformed("it has one line"))?;
    if !first.starts_with("Package:") {
        return Err(malformed("its first field isn't Package"));
    }
    let mut text = format!("{first}\nStatus: install ok installed\n");
    let (before, description) = rest.split_once("\nDescription:").unwrap_or((rest, ""));
    text.push_str(before);
    text.push('\n');
    let conffiles: Vec<&str> = package.conffiles.lines().filter(|line| line.starts_with('/')).collect();
    if !conffiles.is_empty() {
        text.push_str("Conffiles:\n");
    }
    for path in conffiles {
        // dh_md5sums leaves conffiles out: dpkg hashes them itself when it unpacks.
        let hash = hashes.get(path.trim_start_matches('/')).copied().or_else(|| package.conffile_md5.get(path).map(String::as_str));
        writeln!(text, " {path} {}", hash.unwrap_or("newconffile")).unwrap_or_default();
    }
    if !description.is_empty() {
        writeln!(text, "Description:{description}").unwrap_or_default();
    }
    Ok(text)
}
