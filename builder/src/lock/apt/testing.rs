//! A small signed archive for tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_release::digest::FileDigest;

use super::{Origin, Suites};

/// A small archive below a temporary folder, signed by a key made for it.
pub(crate) struct TestArchive {
    pub(crate) folder: tempfile::TempDir,
    /// Stanzas of the main suite.
    pub(crate) packages: String,
    /// Stanzas of the security suite.
    pub(crate) security: String,
    /// When the archive was signed and its key made, as GnuPG's `--faked-system-time` takes it; none is now.
    pub(crate) time: Option<&'static str>,
    pub(crate) valid_until: &'static str,
    pub(crate) codename: &'static str,
}

pub(crate) fn stanza(name: &str, fields: &str) -> String {
    let sha256 = FileDigest::of(name.as_bytes());
    format!(
        "Package: {name}\nVersion: 1:1.0+b~1\nArchitecture: amd64\nMaintainer: T <t@localhost>\nFilename: \
         pool/main/{name}_1.0+b~1_amd64.deb\nSize: 10\nSHA256: {sha256}\nDescription: test\n{fields}\n"
    )
}

impl TestArchive {
    pub(crate) fn new(packages: &[String]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            packages: packages.concat(),
            security: String::new(),
            time: None,
            valid_until: "Fri, 01 Jan 2100 00:00:00 UTC",
            codename: "trixie",
        }
    }

    pub(crate) fn gpg(&self, home: &Path, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args([
            "--batch",
            "--quiet",
            "--no-options",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        command.args(["--trust-model", "always", "--homedir"]).arg(home);
        command.args(
            self.time
                .map(|time| ["--faked-system-time", time])
                .into_iter()
                .flatten(),
        );
        let output = command
            .args(arguments)
            .output()
            .expect("install the package gnupg");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Makes a key that lasts a day after `time`, or for ever when that is now; returns its home and public half.
    pub(crate) fn key(&self, name: &str) -> (PathBuf, Vec<u8>) {
        use std::os::unix::fs::DirBuilderExt as _;
        let home = self.folder.path().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let expiry = if self.time.is_some() { "1d" } else { "never" };
        self.gpg(
            &home,
            &[
                "--quick-generate-key",
                "Test <test@localhost>",
                "ed25519",
                "sign",
                expiry,
            ],
        );
        let public = self.gpg(&home, &["--armor", "--export"]);
        (home, public)
    }

    pub(crate) fn suite(&self, folder: &str, suite: &str, packages: &str, home: &Path) {
        let dists = self.folder.path().join(folder).join("dists").join(suite);
        let lists = dists.join("main/binary-amd64");
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::write(lists.join("Packages"), packages).unwrap();
        let codename = suite.replace("trixie", self.codename);
        let release = format!(
            "Origin: Test\nSuite: {codename}\nCodename: {codename}\nDate: Sat, 21 Nov 2015 00:53:03 UTC\nValid-Until: {}\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            self.valid_until,
            FileDigest::of(packages.as_bytes()),
            packages.len()
        );
        std::fs::write(dists.join("Release"), release).unwrap();
        let path = |name: &str| dists.join(name).display().to_string();
        self.gpg(
            home,
            &[
                "--yes",
                "--clearsign",
                "--output",
                &path("InRelease"),
                &path("Release"),
            ],
        );
        std::fs::remove_file(dists.join("Release")).unwrap();
    }

    /// Signs the archive with the key in `home`, and trusts `keyring`.
    pub(crate) fn publish(&self, home: &Path, keyring: &[u8]) -> Origin {
        self.suite("debian", "trixie", &self.packages, home);
        self.suite("debian", "trixie-updates", "", home);
        self.suite("debian-security", "trixie-security", &self.security, home);
        Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "gpg-agent"])
            .status()
            .unwrap();
        let base = |folder| format!("file:{}", self.folder.path().join(folder).display());
        Origin {
            suite: "trixie".into(),
            suites: Suites::Current,
            components: vec!["main".into()],
            main: base("debian"),
            security: base("debian-security"),
            keyring: keyring.to_owned(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        let (home, public) = self.key("gpg");
        self.publish(&home, &public)
    }
}
