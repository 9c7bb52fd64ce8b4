//! Builds in folders of their own, for scenarios about building. They take packages from the user's cache, and nothing from
//! the network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use outcrop_release::digest::FileDigest;

use crate::host::as_root;

/// A build in a folder of its own, with a store of its own, so that nothing is taken from another build.
#[derive(Debug)]
pub struct Build {
    folder: tempfile::TempDir,
}

impl Default for Build {
    fn default() -> Self {
        Self::new()
    }
}

impl Build {
    /// With the project's recipes, the programs that `cargo xtask test` built, and the packages that it fetched.
    ///
    /// # Panics
    /// When any of these isn't there.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let build = Self { folder };
        for name in ["cache", "out", "recipes", "device"] {
            fs::create_dir(build.path(name)).unwrap();
        }
        link(&packages(), &build.path("cache"));
        copy(&project().join("recipes/."), &build.path("recipes"));
        copy(
            &PathBuf::from(variable("OUTCROP_DEVICE_PROGRAMS")).join("."),
            &build.path("device"),
        );
        copy(&PathBuf::from(variable("OUTCROP")), &build.path("outcrop"));
        build
    }

    /// A file or folder of the build.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The words of a command that builds `edge.toml`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        self.arguments_for("edge.toml")
    }

    /// The words of a command that builds a recipe of the folder `recipes`.
    #[must_use]
    pub fn arguments_for(&self, recipe: &str) -> Vec<String> {
        let text = |name: &str| self.path(name).display().to_string();
        let mut words = vec![
            text("outcrop"),
            "build".to_owned(),
            "--offline".to_owned(),
            self.path("recipes").join(recipe).display().to_string(),
        ];
        for (option, name) in [
            ("--output", "out"),
            ("--cache-dir", "cache"),
            ("--device-programs", "device"),
        ] {
            words.extend([option.to_owned(), text(name)]);
        }
        words
    }

    /// Runs a command that must succeed; returns [`Build::digests`].
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, command: &mut Command) -> BTreeMap<String, FileDigest> {
        let output = run(command);
        assert!(
            output.status.success(),
            "{command:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.digests()
    }

    /// Every output file with its digest.
    ///
    /// # Panics
    /// When one can't be read.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, FileDigest> {
        let files = fs::read_dir(self.path("out")).unwrap();
        let digest = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), sha256(&entry.path()))
        };
        files.map(digest).collect()
    }

    /// Gives everything to nobody; but the packages, which are the user's own files, stay the user's.
    ///
    /// # Panics
    /// When that isn't allowed.
    pub fn own_by_nobody(&self) {
        let packages = format!("{}/*", self.path("cache/packages").display());
        let status = as_root("find")
            .arg(self.folder.path())
            .args(["-path", &packages, "-type", "f", "-o"])
            .args(["-exec", "chown", "-h", "65534:65534", "{}", "+"])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// Runs a command and takes what it says.
///
/// # Panics
/// When it can't be started.
pub fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

fn copy(from: &Path, to: &Path) {
    assert!(cp(&["-r"], from, to), "copy {}", from.display());
}

/// Copies folders and links files, which are large. Another file system can't have links, and gets copies.
fn link(from: &Path, to: &Path) {
    if !cp(&["-r", "--link"], from, to) {
        copy(from, to);
    }
}

fn cp(options: &[&str], from: &Path, to: &Path) -> bool {
    let output = run(Command::new("cp").args(options).arg("--").args([from, to]));
    output.status.success()
}

fn sha256(path: &Path) -> FileDigest {
    let output = run(Command::new("sha256sum").arg(path));
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()[..64].parse().unwrap()
}

/// The packages that `cargo xtask test` fetched.
fn packages() -> PathBuf {
    let cache = env::var_os("OUTCROP_CACHE_DIR").map(PathBuf::from);
    let of_user = || {
        let home = || Path::new(&variable("HOME")).join(".cache");
        env::var_os("XDG_CACHE_HOME")
            .filter(|folder| !folder.is_empty())
            .map_or_else(home, PathBuf::from)
            .join("outcrop")
    };
    cache.unwrap_or_else(of_user).join("packages")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A variable that `cargo xtask test` sets.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} isn't set: `cargo xtask test` sets it"))
}
