//! What the downloaded lists say: names, essential packages, dates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::{
    AptError, Origin, UnknownPackage,
    root::{AptRoot, fail},
};
use crate::lock::{date, format::LockedSuite};

/// The packages of one architecture.
#[derive(Debug, Default)]
pub(super) struct Available {
    names: BTreeSet<String>,
    /// `Essential: yes`: their needs are declared nowhere, so they are always installed.
    pub(super) essential: BTreeSet<String>,
    /// Virtual names and who provides them.
    provided: BTreeMap<String, BTreeSet<String>>,
}

fn entries(folder: &Path, matches: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, AptError> {
    let failed = |source| fail("read", folder, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(&matches) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the package lists of `arch`.
pub(super) fn available(root: &AptRoot, arch: Architecture) -> Result<Available, AptError> {
    let end = format!("_binary-{}_Packages", arch.debian());
    let mut available = Available::default();
    for path in entries(&root.lists(), |name| name.ends_with(&end))? {
        let failed = |source| fail("read", &path, source);
        let mut package = String::new();
        for line in BufReader::new(File::open(&path).map_err(failed)?).split(b'\n') {
            let line = line.map_err(failed)?;
            available.take(&String::from_utf8_lossy(&line), &mut package);
        }
    }
    Ok(available)
}

impl Available {
    fn take(&mut self, line: &str, package: &mut String) {
        if let Some(name) = line.strip_prefix("Package: ") {
            name.clone_into(package);
            self.names.insert(name.to_owned());
        } else if line == "Essential: yes" {
            self.essential.insert(package.clone());
        } else if let Some(names) = line.strip_prefix("Provides: ") {
            for name in names.split(',').filter_map(|name| name.split_whitespace().next()) {
                self.provided
                    .entry(name.to_owned())
                    .or_default()
                    .insert(package.clone());
            }
        }
    }

    /// Why `name` is no package; none when it is one.
    pub(super) fn missing(&self, name: &str, arch: Architecture) -> Option<UnknownPackage> {
        if self.names.contains(name) {
            return None;
        }
        let distance = |known: &&String| strsim::damerau_levenshtein(name, known);
        let nearest = self
            .names
            .iter()
            .min_by_key(distance)
            .filter(|known| distance(known) <= name.len().div_ceil(3));
        let providers = self
            .provided
            .get(name)
            .into_iter()
            .flatten()
            .take(8)
            .cloned()
            .collect();
        Some(UnknownPackage {
            name: name.to_owned(),
            arch,
            nearest: nearest.cloned(),
            providers,
        })
    }
}

/// The digest and date of each suite's `InRelease`, and a check that it is the suite that was asked for.
pub(super) fn suites(root: &AptRoot, origin: &Origin) -> Result<Vec<LockedSuite>, AptError> {
    let read = |(name, archive): (String, _)| {
        let end = format!("_dists_{name}_InRelease");
        let paths = entries(&root.lists(), |file| {
            file.ends_with(&end) && file.contains(&host_and_folder(origin.base(archive)))
        })?;
        let [path] = paths.as_slice() else {
            return Err(AptError::Odd {
                what: "apt's folder of lists, which lacks an InRelease",
                text: name,
            });
        };
        let bytes = fs::read(path).map_err(|source| fail("read", path, source))?;
        let text = String::from_utf8_lossy(&bytes);
        let field = |key: &str| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
        };
        if field("Codename:").as_ref() != Some(&name) && field("Suite:").as_ref() != Some(&name) {
            return Err(AptError::Signature(format!(
                "the mirror serves another suite as {name}"
            )));
        }
        let date = field("Date:").unwrap_or_default();
        let date = date::parse(&date).ok_or(AptError::Odd {
            what: "the date of a suite",
            text: date,
        })?;
        Ok(LockedSuite {
            name,
            archive,
            in_release: FileDigest::of(&bytes),
            date,
        })
    };
    let mut suites = origin
        .suites()
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(suites)
}

/// The part of a list's file name that says which archive it is of: apt writes slashes as underscores.
fn host_and_folder(base: &str) -> String {
    let last = base.rsplit('/').next().unwrap_or(base);
    format!("{last}_dists_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available() -> Available {
        let mut available = Available::default();
        let mut package = String::new();
        for line in [
            "Package: htop",
            "Version: 1",
            "",
            "Package: bash",
            "Essential: yes",
            "Provides: shell, sh (= 1)",
            "",
        ] {
            available.take(line, &mut package);
        }
        available
    }

    #[test]
    fn essential_packages_are_found() {
        assert_eq!(available().essential, BTreeSet::from(["bash".to_owned()]));
    }

    #[test]
    fn a_misspelt_package_finds_its_name_and_a_virtual_one_its_providers() {
        let missing = |name| available().missing(name, Architecture::X86_64);
        assert_eq!(missing("htop"), None);
        assert_eq!(missing("htpo").unwrap().nearest.as_deref(), Some("htop"));
        assert_eq!(missing("sh").unwrap().providers, ["bash"]);
        assert_eq!(missing("xyz-nothing-like-it").unwrap().nearest, None);
    }
}
