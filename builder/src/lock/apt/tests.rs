use std::process::Command;

use outcrop_release::digest::FileDigest;

use super::{
    testing::{TestArchive, stanza},
    *,
};

fn resolve_in(archive: &TestArchive, origin: &Origin, names: &[&str]) -> Result<Resolved, AptError> {
    let root = names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Wanted {
        root,
        boot: BTreeSet::new(),
    };
    resolve(
        &archive.folder.path().join("apt"),
        origin,
        &[(Architecture::X86_64, wanted)].into(),
        &crate::progress::Silent,
    )
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
    let resolved = resolve_in(&archive, &archive.origin(), &["tool"]).unwrap();
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
fn a_point_release_is_locked_without_what_came_since() {
    let mut archive = TestArchive::new(&[stanza("tool", "")]);
    archive.security = stanza("tool", "").replace("1:1.0+b~1", "1:1.0+b~1+deb13u1");
    let current = archive.origin();
    let released = Origin {
        suites: Suites::PointRelease,
        ..current.clone()
    };
    let version = |origin: &Origin| {
        let resolved = resolve_in(&archive, origin, &["tool"]).unwrap();
        let suites: Vec<_> = resolved.suites.into_iter().map(|suite| suite.name).collect();
        (
            resolved.packages[&Architecture::X86_64][0].version.clone(),
            suites.join(" "),
        )
    };
    // In turns: neither answers from the other's lists.
    for _ in 0..2 {
        assert_eq!(version(&released), ("1:1.0+b~1".into(), "trixie".into()));
        let all = "trixie trixie-security trixie-updates";
        assert_eq!(version(&current), ("1:1.0+b~1+deb13u1".into(), all.into()));
    }
}

#[test]
fn a_dependency_cycle_is_resolved() {
    let archive = TestArchive::new(&[
        stanza("a", "Depends: b\n"),
        stanza("b", "Depends: c\n"),
        stanza("c", "Depends: a\n"),
    ]);
    assert_eq!(
        names(&resolve_in(&archive, &archive.origin(), &["b"]).unwrap()),
        ["a", "b", "c"]
    );
}

#[test]
fn packages_that_conflict_are_refused_with_apt_s_reason() {
    let archive = TestArchive::new(&[stanza("one", "Conflicts: two\n"), stanza("two", "")]);
    match resolve_in(&archive, &archive.origin(), &["one", "two"]).unwrap_err() {
        AptError::Conflict { reason, .. } => {
            assert!(reason.contains("one") && reason.contains("two"), "{reason}");
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_dependency_that_nothing_meets_is_named() {
    let archive = TestArchive::new(&[stanza("one", "Depends: nothing (>= 3)\n")]);
    match resolve_in(&archive, &archive.origin(), &["one"]).unwrap_err() {
        AptError::Conflict { reason, .. } => assert!(reason.contains("nothing (>= 3)"), "{reason}"),
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_unknown_package_is_told_with_the_nearest_name() {
    let archive = TestArchive::new(&[stanza("htop", "")]);
    match resolve_in(&archive, &archive.origin(), &["htpo", "htop-"]).unwrap_err() {
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
        let error = resolve_in(&archive, &origin, &["a"]).unwrap_err();
        assert!(matches!(error, AptError::Signature(_)), "{error:?}");
    }
}

#[test]
fn an_archive_signed_by_an_expired_key_is_refused() {
    let mut archive = TestArchive::new(&[stanza("a", "")]);
    archive.time = Some("20151121T010000");
    let error = resolve_in(&archive, &archive.origin(), &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
}

#[test]
fn a_changed_list_and_a_changed_signature_are_refused_even_when_older_lists_are_at_hand() {
    let archive = TestArchive::new(&[stanza("a", "")]);
    let origin = archive.origin();
    resolve_in(&archive, &origin, &["a"]).unwrap();
    let dists = archive.folder.path().join("debian/dists/trixie");
    let signed = std::fs::read_to_string(dists.join("InRelease")).unwrap();
    std::fs::write(
        dists.join("InRelease"),
        signed.replace("Origin: Test", "Origin: Evil"),
    )
    .unwrap();
    let error = resolve_in(&archive, &origin, &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
    std::fs::write(dists.join("InRelease"), signed).unwrap();
    resolve_in(&archive, &origin, &["a"]).unwrap();
}

#[test]
fn an_archive_past_its_date_and_another_suite_are_refused() {
    let mut archive = TestArchive::new(&[stanza("a", "")]);
    let (home, public) = archive.key("gpg");
    archive.valid_until = "Sat, 28 Nov 2015 00:53:03 UTC";
    let error = resolve_in(&archive, &archive.publish(&home, &public), &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Stale(_)), "{error:?}");
    archive.valid_until = "Fri, 01 Jan 2100 00:00:00 UTC";
    archive.codename = "forky";
    let error = resolve_in(&archive, &archive.publish(&home, &public), &["a"]).unwrap_err();
    assert!(matches!(error, AptError::Signature(_)), "{error:?}");
}

#[test]
fn an_archive_that_is_not_there_is_a_failure_of_the_network() {
    let archive = TestArchive::new(&[]);
    let mut origin = archive.origin();
    origin.main.push_str("-elsewhere");
    let error = resolve_in(&archive, &origin, &["a"]).unwrap_err();
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
