use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::*;

/// A small archive below a temporary folder, signed by a key made for it.
struct TestArchive {
    folder: tempfile::TempDir,
    /// Stanzas of the main suite.
    packages: String,
    /// When the archive was signed and its key made, as GnuPG's `--faked-system-time` takes it; none is now.
    time: Option<&'static str>,
    valid_until: &'static str,
    codename: &'static str,
}

fn stanza(name: &str, fields: &str) -> String {
    let sha256 = FileDigest::of(name.as_bytes());
    format!(
        "Package: {name}\nVersion: 1:1.0+b~1\nArchitecture: amd64\nMaintainer: T <t@localhost>\nFilename: \
         pool/main/{name}_1.0+b~1_amd64.deb\nSize: 10\nSHA256: {sha256}\nDescription: test\n{fields}\n"
    )
}

use outcrop_release::digest::FileDigest;

impl TestArchive {
    fn new(packages: &[String]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            packages: packages.concat(),
            time: None,
            valid_until: "Fri, 01 Jan 2100 00:00:00 UTC",
            codename: "trixie",
        }
    }

    fn gpg(&self, home: &Path, arguments: &[&str]) -> Vec<u8> {
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
    fn key(&self, name: &str) -> (PathBuf, Vec<u8>) {
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

    fn suite(&self, folder: &str, suite: &str, packages: &str, home: &Path) {
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
    fn publish(&self, home: &Path, keyring: &[u8]) -> Origin {
        self.suite("debian", "trixie", &self.packages, home);
        self.suite("debian", "trixie-updates", "", home);
        self.suite("debian-security", "trixie-security", "", home);
        Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "gpg-agent"])
            .status()
            .unwrap();
        let base = |folder| format!("file:{}", self.folder.path().join(folder).display());
        Origin {
            suite: "trixie".into(),
            components: vec!["main".into()],
            main: base("debian"),
            security: base("debian-security"),
            keyring: keyring.to_owned(),
        }
    }

    fn origin(&self) -> Origin {
        let (home, public) = self.key("gpg");
        self.publish(&home, &public)
    }

    fn resolve(&self, origin: &Origin, names: &[&str]) -> Result<Resolved, AptError> {
        let root = names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Wanted {
            root,
            boot: BTreeSet::new(),
        };
        resolve(
            &self.folder.path().join("apt"),
            origin,
            &[(Architecture::X86_64, wanted)].into(),
        )
    }
}

fn names(resolved: &Resolved) -> Vec<&str> {
    resolved.packages[&Architecture::X86_64]
        .iter()
        .map(|package| package.name.as_str())
        .collect()
}

#[test]
fn dependencies_and_essential_packages_come_along_and_recommendations_do_not() {
    let archive = TestArchive::new(&[
        stanza("base", "Essential: yes\nDepends: below\n"),
        stanza("below", ""),
        stanza(
            "tool",
            "Depends: lib (>= 1:1.0), linux-initramfs-tool\nRecommends: extra\n",
        ),
        stanza("lib", ""),
        stanza("extra", ""),
    ]);
    let resolved = archive.resolve(&archive.origin(), &["tool"]).unwrap();
    assert_eq!(names(&resolved), ["base", "below", "lib", "tool"]);
    let tool = &resolved.packages[&Architecture::X86_64][3];
    assert_eq!(
        (tool.version.as_str(), tool.path.as_str()),
        ("1:1.0+b~1", "pool/main/tool_1.0+b~1_amd64.deb")
    );
    assert_eq!(
        (tool.archive, tool.size, tool.sha256),
        (Archive::Main, 10, FileDigest::of(b"tool"))
    );
    let suites: Vec<_> = resolved
        .suites
        .iter()
        .map(|suite| (suite.name.as_str(), suite.archive, suite.date))
        .collect();
    let date = 1_448_067_183;
    assert_eq!(
        suites,
        [
            ("trixie", Archive::Main, date),
            ("trixie-security", Archive::Security, date),
            ("trixie-updates", Archive::Main, date)
        ]
    );
}

#[test]
fn a_dependency_cycle_is_resolved() {
    let archive = TestArchive::new(&[
        stanza("a", "Depends: b\n"),
        stanza("b", "Depends: c\n"),
        stanza("c", "Depends: a\n"),
    ]);
    assert_eq!(
        names(&archive.resolve(&archive.origin(), &["b"]).unwrap()),
        ["a", "b", "c"]
    );
}

#[test]
fn packages_that_conflict_are_refused_with_apt_s_reason() {
    let archive = TestArchive::new(&[stanza("one", "Conflicts: two\n"), stanza("two", "")]);
    match archive.resolve(&archive.origin(), &["one", "two"]).unwrap_err() {
        AptError::Conflict { reason, .. } => {
            assert!(reason.contains("one") && reason.contains("two"), "{reason}");
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_dependency_that_nothing_meets_is_named() {
    let archive = TestArchive::new(&[stanza("one", "Depends: nothing (>= 3)\n")]);
    match archive.resolve(&archive.origin(), &["one"]).unwrap_err() {
        AptError::Conflict { reason, .. } => assert!(reason.contains("nothing (>= 3)"), "{reason}"),
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_unknown_package_is_told_with_the_nearest_name() {
    let archive = TestArchive::new(&[stanza("htop", "")]);
    match archive
        .resolve(&archive.origin(), &["htpo", "htop-"])
        .unwrap_err()
    {
        AptError::Unknown(unknown) => {
            let texts: Vec<_> = unknown.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), 2, "{texts:?}");
            assert!(
                texts.iter().all(|text| text.ends_with("is it htop?")),
                "{texts:?}"
            );
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_archive_signed_by_a_foreign_key_is_refused() {
    let archive = TestArchive::new(&[stanza("a", "")]);
    let (home, _) = archive.key("foreign");
    let (_, trusted) = archive.key("trusted");
    for keyring in [trusted.as_slice(), DEBIAN_KEYRING] {
        let origin = archive.publish(&home, keyring);
        let error = archive.resolve(&origin, &["a"]).unwrap_err();
        assert!(matches!(error, AptError::Signature(_)), "{error:?}");
    }
}

#[test]
fn an_archive_signed_by_an_expired_key_is_refused() {
    let mut archive = TestArchive::new(&[stanza("a", "")]);
    archive.time = Some("20151121T010000");
    let error = archive.resolve(&archive.origin(), &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
}

#[test]
fn a_changed_list_and_a_changed_signature_are_refused_even_when_older_lists_are_at_hand() {
    let archive = TestArchive::new(&[stanza("a", "")]);
    let origin = archive.origin();
    archive.resolve(&origin, &["a"]).unwrap();
    let dists = archive.folder.path().join("debian/dists/trixie");
    let signed = std::fs::read_to_string(dists.join("InRelease")).unwrap();
    std::fs::write(
        dists.join("InRelease"),
        signed.replace("Origin: Test", "Origin: Evil"),
    )
    .unwrap();
    let error = archive.resolve(&origin, &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
    std::fs::write(dists.join("InRelease"), signed).unwrap();
    archive.resolve(&origin, &["a"]).unwrap();
}

#[test]
fn an_archive_past_its_date_and_another_suite_are_refused() {
    let mut archive = TestArchive::new(&[stanza("a", "")]);
    let (home, public) = archive.key("gpg");
    archive.valid_until = "Sat, 28 Nov 2015 00:53:03 UTC";
    let error = archive
        .resolve(&archive.publish(&home, &public), &["a"])
        .unwrap_err();
    assert!(matches!(error, AptError::Stale(_)), "{error:?}");
    archive.valid_until = "Fri, 01 Jan 2100 00:00:00 UTC";
    archive.codename = "forky";
    let error = archive
        .resolve(&archive.publish(&home, &public), &["a"])
        .unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
}

#[test]
fn an_archive_that_is_not_there_is_a_failure_of_the_network() {
    let archive = TestArchive::new(&[]);
    let mut origin = archive.origin();
    origin.main.push_str("-elsewhere");
    let error = archive.resolve(&origin, &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Update(_)), "{error:?}");
}

#[test]
fn debian_s_archive_keys_are_for_trixie_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.asc");
    std::fs::write(&path, DEBIAN_KEYRING).unwrap();
    let output = Command::new("gpg")
        .args(["--batch", "--with-colons", "--show-keys", "--homedir"])
        .arg(folder.path())
        .arg(&path)
        .output()
        .expect("install the package gnupg");
    let text = String::from_utf8(output.stdout).unwrap();
    let users: Vec<_> = text.lines().filter(|line| line.starts_with("uid:")).collect();
    assert_eq!(users.len(), 3, "{text}");
    assert!(users.iter().all(|user| user.contains("(13/trixie)")), "{users:?}");
}
