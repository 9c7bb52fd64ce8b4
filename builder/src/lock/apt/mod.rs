//! Dependency resolution by apt, in a root of its own.
//!
//! apt reads nothing of the build machine: a private configuration (`APT_CONFIG`) points every folder below the cache, the
//! list of installed packages is a file of one stanza, and the only keys are the archive keyring that Outcrop carries.
//! It downloads lists and answers questions; it never unpacks, and needs no privileges. All suites of all architectures
//! are read in one go, so that both architectures of a lock see the same state of the archive.

mod error;
mod lists;
mod process;
mod root;
mod run;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod uris;

use std::collections::{BTreeMap, BTreeSet};

use outcrop_release::arch::Architecture;

pub use error::{AptError, UnknownPackage};

use self::root::AptRoot;
use super::format::{Archive, LockedPackage, LockedSuite, Role};
use crate::progress::Progress;

/// Debian's archive keys for trixie: see `keys/README.md`.
pub const DEBIAN_KEYRING: &[u8] = include_bytes!("../../../../keys/debian-archive-trixie.asc");

/// Which suites a lock takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suites {
    /// The release with what came since: `-updates` and `-security`. What devices get.
    #[default]
    Current,
    /// The release alone, as its last point release left it: old, and with known holes. To measure what an update costs.
    PointRelease,
}

/// An archive and who may sign it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Release name: `trixie`; `-updates` and `-security` follow from it.
    pub suite: String,
    /// Whether they are locked too.
    pub suites: Suites,
    /// `main`, `contrib`, ...
    pub components: Vec<String>,
    /// Base address of the main archive, without trailing slash.
    pub main: String,
    /// Base address of the security archive.
    pub security: String,
    /// OpenPGP public keys, ASCII-armoured.
    pub keyring: Vec<u8>,
}

impl Origin {
    /// The suites that are locked: their names and the archive that has them.
    #[must_use]
    pub fn suites(&self) -> Vec<(String, Archive)> {
        let release = (self.suite.clone(), Archive::Main);
        match self.suites {
            Suites::PointRelease => vec![release],
            Suites::Current => vec![
                release,
                (format!("{}-updates", self.suite), Archive::Main),
                (format!("{}-security", self.suite), Archive::Security),
            ],
        }
    }

    fn base(&self, archive: Archive) -> &str {
        match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
    }
}

/// The names to resolve for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For the root file system, beside the essential packages.
    pub root: BTreeSet<String>,
    /// For the boot payload: only these packages themselves, without dependencies.
    pub boot: BTreeSet<String>,
}

/// What apt decided. The packages have no scripts yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// All suites.
    pub suites: Vec<LockedSuite>,
    /// Per architecture, the packages by name.
    pub packages: BTreeMap<Architecture, Vec<LockedPackage>>,
}

/// Reads the archive's lists and resolves `wanted`. `folder` is kept between runs and shared by concurrent ones.
///
/// # Errors
/// Any [`AptError`].
pub fn resolve(
    folder: &std::path::Path,
    origin: &Origin,
    wanted: &BTreeMap<Architecture, Wanted>,
    progress: &dyn Progress,
) -> Result<Resolved, AptError> {
    let architectures: Vec<_> = wanted.keys().copied().collect();
    let root = AptRoot::open(folder, origin, &architectures, progress)?;
    run::update(&root, progress)?;
    let suites = lists::suites(&root, origin)?;
    let root = &root;
    let lists = std::thread::scope(|scope| {
        let start = |(&arch, wanted)| {
            (
                arch,
                scope.spawn(move || packages(root, origin, wanted, arch, progress)),
            )
        };
        let threads: Vec<_> = wanted.iter().map(start).collect();
        threads
            .into_iter()
            .map(|(arch, thread)| match thread.join() {
                Ok(list) => Ok((arch, list?)),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect::<Result<_, AptError>>()
    })?;
    Ok(Resolved {
        suites,
        packages: lists,
    })
}

fn packages(
    root: &AptRoot,
    origin: &Origin,
    wanted: &Wanted,
    arch: Architecture,
    progress: &dyn Progress,
) -> Result<Vec<LockedPackage>, AptError> {
    let available = lists::available(root, arch)?;
    let unknown: Vec<_> = wanted
        .root
        .iter()
        .chain(&wanted.boot)
        .filter_map(|name| available.missing(name, arch))
        .collect();
    if !unknown.is_empty() {
        return Err(AptError::Unknown(unknown));
    }
    let names: BTreeSet<_> = wanted
        .root
        .iter()
        .chain(&available.essential)
        .map(String::as_str)
        .collect();
    let mut list = uris::read(&run::install(root, arch, &names, progress)?, origin, Role::Root)?;
    if !wanted.boot.is_empty() {
        let names = wanted.boot.iter().map(String::as_str).collect();
        list.extend(uris::read(
            &run::download(root, arch, &names, progress)?,
            origin,
            Role::Boot,
        )?);
    }
    list.sort_by(|a, b| (&a.name, a.role).cmp(&(&b.name, b.role)));
    Ok(list)
}
