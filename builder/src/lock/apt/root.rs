//! apt's private root.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
};

use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::{AptError, Origin};
use crate::{
    file_lock::{self, Sharing},
    progress::Progress,
};

/// What counts as installed: Outcrop makes the initramfs itself, so the kernel's dependency on a tool for that is met.
const STATUS: &str = "Package: outcrop-provided\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\
    Maintainer: Outcrop <outcrop@localhost>\nProvides: linux-initramfs-tool\nDescription: what Outcrop does itself\n";

/// A private root, held by this process alone as long as the value lives.
#[derive(Debug)]
pub(super) struct AptRoot {
    folder: PathBuf,
    architectures: Vec<Architecture>,
    _lock: File,
}

impl AptRoot {
    /// Makes or reuses the root for `origin` below `parent`. Lists of other origins are in other folders. Waits until
    /// no other process uses it.
    pub(super) fn open(
        parent: &Path,
        origin: &Origin,
        architectures: &[Architecture],
        progress: &dyn Progress,
    ) -> Result<Self, AptError> {
        let identity = format!("{origin:?} {architectures:?}");
        let folder = parent.join(&FileDigest::of(identity.as_bytes()).to_string()[..16]);
        make(&folder)?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|source| fail("open", &path, source))?;
        file_lock::wait(&lock, Sharing::Alone, "apt's lists", progress)
            .map_err(|source| fail("lock", &path, source))?;
        let folder = folder
            .canonicalize()
            .map_err(|source| fail("find", &folder, source))?;
        let root = Self {
            folder,
            architectures: architectures.to_owned(),
            _lock: lock,
        };
        root.fill(origin)?;
        Ok(root)
    }

    fn fill(&self, origin: &Origin) -> Result<(), AptError> {
        for folder in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "etc/auth.conf.d",
            "etc/keys",
        ] {
            make(&self.folder.join(folder))?;
        }
        for folder in ["state/lists/partial", "cache/archives/partial", "log", "home"] {
            make(&self.folder.join(folder))?;
        }
        self.write("state/status", STATUS.as_bytes())?;
        self.write("etc/keys/archive.asc", &origin.keyring)?;
        self.write("etc/sources.list", sources(origin).as_bytes())?;
        self.write("update.conf", self.configuration(&self.architectures).as_bytes())?;
        for &arch in &self.architectures {
            self.write(&format!("{arch}.conf"), self.configuration(&[arch]).as_bytes())?;
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), AptError> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).map_err(|source| fail("write", &path, source))
    }

    /// The root's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration for downloading lists of all architectures.
    pub(super) fn update_conf(&self) -> PathBuf {
        self.folder.join("update.conf")
    }

    /// The configuration for questions about one architecture.
    pub(super) fn arch_conf(&self, arch: Architecture) -> PathBuf {
        self.folder.join(format!("{arch}.conf"))
    }

    /// Where the lists are.
    pub(super) fn lists(&self) -> PathBuf {
        self.folder.join("state/lists")
    }

    /// A home folder for programs that apt starts.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Everything is stated: what apt would take from the machine otherwise, and what decides over safety.
    /// Source: apt.conf(5).
    fn configuration(&self, architectures: &[Architecture]) -> String {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut text = String::new();
        // apt's index of the lists: one per architecture, as two processes use it at the same time.
        let cache = match architectures {
            [arch] => at(&format!("cache/{arch}.bin")),
            _ => String::new(),
        };
        let folders = [
            ("Dir", at("")),
            ("Dir::Etc", at("etc")),
            ("Dir::Etc::TrustedParts", at("etc/keys")),
            ("Dir::Etc::Trusted", "/dev/null".to_owned()),
            ("Dir::State", at("state")),
            ("Dir::State::Lists", at("state/lists")),
            ("Dir::State::Status", at("state/status")),
            ("Dir::Cache", at("cache")),
            ("Dir::Cache::PkgCache", cache),
            ("Dir::Cache::SrcPkgCache", String::new()),
            ("Dir::Log", at("log")),
            ("Dir::Bin::dpkg", "/bin/false".to_owned()),
        ];
        for (key, value) in folders
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(SETTINGS)
        {
            let _ = writeln!(text, "{key} \"{value}\";");
        }
        if let Some(first) = architectures.first() {
            let _ = writeln!(text, "APT::Architecture \"{}\";", first.debian());
        }
        for arch in architectures {
            let _ = writeln!(text, "APT::Architectures:: \"{}\";", arch.debian());
        }
        text
    }
}

const SETTINGS: [(&str, &str); 20] = [
    ("APT::Install-Recommends", "false"),
    ("APT::Install-Suggests", "false"),
    ("APT::Get::AllowUnauthenticated", "false"),
    ("APT::Get::Remove", "false"),
    ("APT::Sandbox::User", "root"),
    ("APT::Update::Error-Mode", "any"),
    ("APT::Color", "0"),
    ("Acquire::AllowInsecureRepositories", "false"),
    ("Acquire::AllowWeakRepositories", "false"),
    ("Acquire::AllowDowngradeToInsecureRepositories", "false"),
    ("Acquire::Check-Valid-Until", "true"),
    ("Acquire::Check-Date", "true"),
    ("Acquire::ForceHash", "SHA256"),
    ("Acquire::GzipIndexes", "false"),
    ("Acquire::Languages", "none"),
    ("Acquire::PDiffs", "false"),
    ("Acquire::Retries", "3"),
    ("Acquire::http::Timeout", "30"),
    ("Acquire::https::Timeout", "30"),
    ("Quiet", "1"),
];

fn sources(origin: &Origin) -> String {
    let components = origin.components.join(" ");
    let line = |(suite, archive): (String, _)| format!("deb {} {suite} {components}\n", origin.base(archive));
    origin.suites().into_iter().map(line).collect()
}

fn make(folder: &Path) -> Result<(), AptError> {
    fs::create_dir_all(folder).map_err(|source| fail("make", folder, source))
}

pub(super) fn fail(doing: &'static str, path: &Path, source: std::io::Error) -> AptError {
    AptError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}
