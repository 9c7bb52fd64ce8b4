//! What `apt-get --print-uris` prints: `'URI' FILE SIZE SHA256:DIGEST`, a package a line.

use outcrop_release::digest::FileDigest;

use super::{AptError, Origin};
use crate::lock::format::{Archive, LockedPackage, Role};

/// Reads the packages; `role` is given to each.
pub(super) fn read(text: &str, origin: &Origin, role: Role) -> Result<Vec<LockedPackage>, AptError> {
    let lines = text.lines().filter(|line| line.starts_with('\''));
    lines
        .map(|line| package(line, origin, role).ok_or_else(|| odd(line)))
        .collect()
}

fn odd(line: &str) -> AptError {
    AptError::Odd {
        what: "a package that apt names",
        text: line.to_owned(),
    }
}

fn package(line: &str, origin: &Origin, role: Role) -> Option<LockedPackage> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let [file, size, digest] = rest.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (archive, path) = place(uri, origin)?;
    let stem = decode(file.strip_suffix(".deb")?)?;
    // Debian's names and architectures hold no underscore, and neither do versions.
    let [name, version, architecture] = stem.split('_').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        role,
        archive,
        path,
        size: size.parse().ok()?,
        sha256: digest.strip_prefix("SHA256:")?.parse::<FileDigest>().ok()?,
        scripts: Vec::new(),
    })
}

/// Which archive a URI belongs to, and the path in it.
fn place(uri: &str, origin: &Origin) -> Option<(Archive, String)> {
    [Archive::Security, Archive::Main]
        .into_iter()
        .find_map(|archive| {
            let path = decode(uri.strip_prefix(origin.base(archive))?.strip_prefix('/')?)?;
            let odd = path.split('/').any(|part| matches!(part, "" | "." | ".."))
                || path.contains(char::is_control);
            (!odd).then_some((archive, path))
        })
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let byte = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(byte, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::Suites, *};

    fn origin() -> Origin {
        Origin {
            suite: "trixie".into(),
            suites: Suites::Current,
            components: vec!["main".into()],
            main: "http://mirror/debian".into(),
            security: "http://mirror/debian-security".into(),
            keyring: Vec::new(),
        }
    }

    fn line(uri: &str) -> String {
        format!("'{uri}' a_1%3a2+b~1_amd64.deb 42 SHA256:{}", FileDigest::of(b"x"))
    }

    #[test]
    fn versions_and_paths_are_decoded_and_archives_told_apart() {
        let text = format!(
            "Reading...\n{}\n",
            line("http://mirror/debian-security/pool/a_2%2bb%7e1.deb")
        );
        let packages = read(&text, &origin(), Role::Root).unwrap();
        let [package] = &packages[..] else { panic!() };
        assert_eq!(
            (package.name.as_str(), package.version.as_str()),
            ("a", "1:2+b~1")
        );
        assert_eq!(
            (package.archive, package.path.as_str(), package.size),
            (Archive::Security, "pool/a_2+b~1.deb", 42)
        );
    }

    #[test]
    fn odd_lines_are_refused() {
        for text in [
            line("http://elsewhere/pool/a.deb"),
            line("http://mirror/debian/../x.deb"),
            line("http://mirror/debian/pool/%zz"),
            "'http://mirror/debian/a.deb' a_1_all.deb 42 MD5Sum:00".to_owned(),
            "'http://mirror/debian/a.deb' a_1.deb 42".to_owned(),
        ] {
            assert!(read(&text, &origin(), Role::Root).is_err(), "{text}");
        }
    }
}
