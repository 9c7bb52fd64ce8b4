//! The lock file: every byte that a build takes from the archive, by digest.

use std::collections::BTreeMap;

use outcrop_release::{arch::Architecture, digest::FileDigest};
use serde::{Deserialize, Serialize};

use super::text_form;
use crate::action::Action;

/// A complete lock. The text form is TOML in a stable order, so that a diff shows what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Digest of the recipe parts that decide over packages: see [`super::recipe_digest`].
    pub recipe: FileDigest,
    /// The archive's state: one entry per suite.
    pub suites: Vec<LockedSuite>,
    /// Per architecture, the packages, by name. A package that is locked for both roles is there twice.
    pub packages: BTreeMap<Architecture, Vec<LockedPackage>>,
}

/// One suite as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedSuite {
    /// `trixie`, `trixie-updates`, `trixie-security`.
    pub name: String,
    /// Which archive below a mirror holds it.
    pub archive: Archive,
    /// Digest of its signed `InRelease`.
    #[serde(with = "text_form")]
    pub in_release: FileDigest,
    /// Its `Date`, in seconds since 1970: the newest of all suites is the image's time.
    pub date: u64,
}

/// An archive: mirrors carry each in a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Archive {
    /// The main archive (folder `debian`).
    Main,
    /// The security archive (folder `debian-security`).
    Security,
}

/// What a package is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Unpacked into the root file system.
    #[default]
    Root,
    /// Only files of its are used, for the boot payload and partition 1 (systemd-boot).
    Boot,
}

impl Role {
    fn is_root(&self) -> bool {
        *self == Self::Root
    }
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedPackage {
    /// Debian's package name.
    pub name: String,
    /// Debian's version, epoch included.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// What it is locked for; the text leaves [`Role::Root`] out.
    #[serde(default, skip_serializing_if = "Role::is_root")]
    pub role: Role,
    /// Which archive holds it.
    pub archive: Archive,
    /// Path of the .deb below the archive's folder: `pool/main/...`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    #[serde(with = "text_form")]
    pub sha256: FileDigest,
    /// Its preinst and postinst, each with what became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<LockedScript>,
}

/// A maintainer script and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedScript {
    /// Which script.
    pub kind: ScriptKind,
    /// SHA-256 of the whole script.
    #[serde(with = "text_form")]
    pub sha256: FileDigest,
    /// Who says that nothing is lost by not running it.
    pub verdict: Verdict,
    /// What is done instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// The scripts that run on a fresh installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// Before unpacking.
    Preinst,
    /// After unpacking.
    Postinst,
}

/// Why a script needs not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every line was recognised: generated parts, or parts that do nothing on a fresh installation.
    Recognised,
    /// Reviewed in `scripts.toml`.
    Reviewed,
    /// The recipe accepts that it is skipped.
    Accepted,
}

impl Archive {
    /// The folder that mirrors keep it in.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Main => "debian",
            Self::Security => "debian-security",
        }
    }
}

impl ScriptKind {
    /// The script's name in a package's control archive.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preinst => "preinst",
            Self::Postinst => "postinst",
        }
    }
}

impl Lock {
    /// The time of everything that this lock makes: the newest `Date` of its suites, in seconds since 1970.
    #[must_use]
    pub fn date(&self) -> u64 {
        self.suites.iter().map(|suite| suite.date).max().unwrap_or(0)
    }
}
