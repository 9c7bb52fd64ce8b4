//! Which servers hold the archives.

use std::{ffi::OsStr, path::Path};

use miette::Diagnostic;

use super::apt_sources;
use crate::{failure::FailureClass, lock::format::Archive};

/// The mirrors of the main and of the security archive, each in the order to try them, without trailing slash.
///
/// A mirror that a user names is one URL for both archives:
///
/// * its last folder is `debian`: that is the main archive, and the security archive is `debian-security` beside it;
/// * its last folder is `debian-security`: the reverse;
/// * anything else: the folders `debian` and `debian-security` below it.
///
/// So `http://deb.debian.org`, `http://deb.debian.org/debian` and `http://cache:3142/deb.debian.org/` all do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    main: Vec<String>,
    security: Vec<String>,
}

/// A mirror that can't be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum MirrorError {
    /// Not an `http://` or `https://` URL of a folder.
    #[error("{0:?} is no address of a mirror")]
    #[diagnostic(help(
        "a mirror is http:// or https:// and a host, perhaps with folders: http://deb.debian.org"
    ))]
    Url(String),
}

impl MirrorError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        FailureClass::Input
    }
}

impl Mirrors {
    /// The mirrors to use: `flag` (`--mirror`) if given, else `variable` (`OUTCROP_MIRROR`) if set and not empty,
    /// else those that the apt sources below `apt` (`/etc/apt`) name. Only one of the three counts: who names a
    /// mirror doesn't want others to be asked.
    ///
    /// # Errors
    /// When `flag` or `variable` is no URL. Apt sources that can't be read or understood name no mirror.
    pub fn choose(flag: Option<&str>, variable: Option<&OsStr>, apt: &Path) -> Result<Self, MirrorError> {
        if let Some(url) = flag {
            return Self::at(url);
        }
        match variable.filter(|text| !text.is_empty()) {
            Some(text) => Self::at(&text.to_string_lossy()),
            None => Ok(Self::of_apt(apt)),
        }
    }

    /// The mirror that a user names: see [`Mirrors`].
    ///
    /// # Errors
    /// When `url` is no `http` or `https` URL.
    pub fn at(url: &str) -> Result<Self, MirrorError> {
        let base = base_url(url).ok_or_else(|| MirrorError::Url(url.to_owned()))?;
        let (main, security) = match split_last(base) {
            (parent, "debian" | "debian-security") => {
                (format!("{parent}/debian"), format!("{parent}/debian-security"))
            }
            _ => (format!("{base}/debian"), format!("{base}/debian-security")),
        };
        Ok(Self {
            main: vec![main],
            security: vec![security],
        })
    }

    /// The Debian mirrors in the apt sources below `folder`: `sources.list` and `sources.list.d`. Where these name no
    /// mirror of the security archive, the folder `debian-security` beside each main archive is tried.
    #[must_use]
    pub fn of_apt(folder: &Path) -> Self {
        let mut mirrors = Self::default();
        for (archive, url) in apt_sources::debian_mirrors(folder) {
            if let Some(base) = base_url(&url) {
                mirrors.add(archive, base);
            }
        }
        if mirrors.security.is_empty() {
            mirrors.security = siblings(&mirrors.main, "debian", "debian-security");
        }
        if mirrors.main.is_empty() {
            mirrors.main = siblings(&mirrors.security, "debian-security", "debian");
        }
        mirrors
    }

    fn add(&mut self, archive: Archive, base: &str) {
        let list = match archive {
            Archive::Main => &mut self.main,
            Archive::Security => &mut self.security,
        };
        if list.iter().all(|known| known != base) {
            list.push(base.to_owned());
        }
    }

    /// The mirrors of one archive. A package's address is one of these, a slash, and its path.
    #[must_use]
    pub fn of(&self, archive: Archive) -> &[String] {
        match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
    }
}

/// `url` without trailing slashes, if it is `http` or `https` with a host and neither query nor fragment.
fn base_url(url: &str) -> Option<&str> {
    let url = url.trim().trim_end_matches('/');
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>');
    (!rest.is_empty() && !rest.starts_with('/') && !rest.contains(odd)).then_some(url)
}

fn split_last(url: &str) -> (&str, &str) {
    url.rsplit_once('/').unwrap_or(("", url))
}

fn siblings(urls: &[String], own: &str, other: &str) -> Vec<String> {
    let beside = |url: &String| {
        let (parent, last) = split_last(url);
        (last == own).then(|| format!("{parent}/{other}"))
    };
    urls.iter().filter_map(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(mirrors: &Mirrors) -> (&str, &str) {
        (&mirrors.of(Archive::Main)[0], &mirrors.of(Archive::Security)[0])
    }

    #[test]
    fn one_url_leads_to_both_archives() {
        for (url, main, security) in [
            ("http://h", "http://h/debian", "http://h/debian-security"),
            ("http://h/", "http://h/debian", "http://h/debian-security"),
            (
                "https://h:80/debian/",
                "https://h:80/debian",
                "https://h:80/debian-security",
            ),
            (
                "http://h/a/debian-security",
                "http://h/a/debian",
                "http://h/a/debian-security",
            ),
            (
                "http://h/pub/mirror",
                "http://h/pub/mirror/debian",
                "http://h/pub/mirror/debian-security",
            ),
        ] {
            assert_eq!(pair(&Mirrors::at(url).unwrap()), (main, security));
        }
        for url in [
            "",
            "deb.debian.org",
            "ftp://h/debian",
            "http://",
            "http:///debian",
            "file:/srv",
            "http://h/a?b",
            "http://h/a b",
        ] {
            assert!(Mirrors::at(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_flag_comes_before_the_variable_and_the_variable_before_apt() {
        let apt = tempfile::tempdir().unwrap();
        std::fs::write(
            apt.path().join("sources.list"),
            "deb http://apt/debian trixie main\n",
        )
        .unwrap();
        let choose = |flag, variable: Option<&str>| {
            let mirrors = Mirrors::choose(flag, variable.map(OsStr::new), apt.path()).unwrap();
            pair(&mirrors).0.to_owned()
        };
        assert_eq!(
            choose(Some("http://flag"), Some("http://variable")),
            "http://flag/debian"
        );
        assert_eq!(choose(None, Some("http://variable")), "http://variable/debian");
        assert_eq!(choose(None, Some("")), "http://apt/debian");
        assert_eq!(choose(None, None), "http://apt/debian");
    }

    #[test]
    fn where_apt_names_no_security_mirror_the_folder_beside_the_main_one_is_tried() {
        let apt = tempfile::tempdir().unwrap();
        let sources = "deb http://a/debian trixie main\ndeb http://b/mirror/debian/ trixie main\n";
        std::fs::write(apt.path().join("sources.list"), sources).unwrap();
        let mirrors = Mirrors::of_apt(apt.path());
        assert_eq!(
            mirrors.of(Archive::Main),
            ["http://a/debian", "http://b/mirror/debian"]
        );
        assert_eq!(
            mirrors.of(Archive::Security),
            ["http://a/debian-security", "http://b/mirror/debian-security"]
        );
        assert_eq!(Mirrors::of_apt(&apt.path().join("none")), Mirrors::default());
    }
}
