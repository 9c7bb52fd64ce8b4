//! The Debian mirrors that the machine's apt sources name. sources.list(5), both formats.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::lock::format::Archive;

/// One repository of the sources: a URI with one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// Mirrors of the Debian archives in the order of the files, `sources.list` first, then `sources.list.d` by name.
pub(super) fn debian_mirrors(folder: &Path) -> Vec<(Archive, String)> {
    let entries = source_files(folder).into_iter().flat_map(|path| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_deb822 = path.extension().is_some_and(|extension| extension == "sources");
        if is_deb822 {
            deb822_entries(&text)
        } else {
            one_line_entries(&text)
        }
    });
    entries
        .filter_map(|entry| Some((archive(&entry)?, entry.uri)))
        .flat_map(|(archive, uri)| expand(&uri).into_iter().map(move |uri| (archive, uri)))
        .collect()
}

/// Names as sources.list(5) takes them: `*.list` and `*.sources`.
fn source_files(folder: &Path) -> Vec<PathBuf> {
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten();
    let mut files: Vec<PathBuf> = parts
        .filter_map(|part| part.ok().map(|part| part.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("list" | "sources"))
        })
        .collect();
    files.sort();
    files.insert(0, folder.join("sources.list"));
    files
}

/// `deb [option=value ...] uri suite component...`
fn one_line_entries(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_line_entry).collect()
}

fn one_line_entry(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line
        .strip_prefix("deb")
        .filter(|rest| rest.starts_with([' ', '\t', '[']))?
        .trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
        signed_by: options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by=").map(str::to_owned)),
    })
}

/// Paragraphs with `Types`, `URIs`, `Suites`, `Components`. Every URI with every suite.
fn deb822_entries(text: &str) -> Vec<Entry> {
    let parsed: Option<deb822_fast::Deb822> = text.parse().ok();
    let paragraphs = parsed.iter().flat_map(deb822_fast::Deb822::iter);
    paragraphs.flat_map(paragraph_entries).collect()
}

fn paragraph_entries(paragraph: &deb822_fast::Paragraph) -> Vec<Entry> {
    let field = |name: &str| {
        let mut fields = paragraph.iter();
        fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    };
    let words = |name| {
        field(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let disabled = field("Enabled")
        .is_some_and(|value| matches!(value.trim(), "no" | "false" | "without" | "off" | "disable"));
    if disabled || !words("Types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let (uris, suites, components) = (words("URIs"), words("Suites"), words("Components"));
    let pairs = uris
        .iter()
        .flat_map(|uri| suites.iter().map(move |suite| (uri, suite)));
    pairs
        .map(|(uri, suite)| Entry {
            uri: uri.clone(),
            suite: suite.clone(),
            components: components.clone(),
            signed_by: field("Signed-By").map(|value| value.trim().to_owned()),
        })
        .collect()
}

/// Which Debian archive an entry is; none for other people's repositories. A wrong guess costs a request and no
/// more: packages are taken by their digest.
fn archive(entry: &Entry) -> Option<Archive> {
    let has_main = entry.components.iter().any(|component| component == "main");
    if !has_main || !is_debian(entry) {
        return None;
    }
    suite_archive(&entry.suite)
}

/// The archive's own keyring says Debian for sure. Without `signed-by`, the folder's name has to do.
fn is_debian(entry: &Entry) -> bool {
    match &entry.signed_by {
        Some(keyring) => keyring
            .rsplit('/')
            .next()
            .is_some_and(|file| file.starts_with("debian-archive-")),
        None => entry.uri.split('/').any(|part| {
            matches!(
                part,
                "debian" | "debian-security" | "debian.list" | "debian-security.list"
            )
        }),
    }
}

/// `trixie`, `trixie-updates`, `trixie-security`, `stable/updates`, ...
fn suite_archive(suite: &str) -> Option<Archive> {
    let suite = suite.trim_end_matches('/');
    let split = suite.find(['-', '/']).unwrap_or(suite.len());
    let (name, rest) = suite.split_at(split);
    let known = matches!(
        name,
        "bullseye"
            | "bookworm"
            | "trixie"
            | "forky"
            | "duke"
            | "sid"
            | "unstable"
            | "testing"
            | "stable"
            | "oldstable"
            | "oldoldstable"
    );
    match rest {
        _ if !known => None,
        "" | "-updates" | "-proposed-updates" | "-backports" | "-backports-sloppy" => Some(Archive::Main),
        "-security" | "/updates" => Some(Archive::Security),
        _ => None,
    }
}

/// `mirror+file:/etc/apt/mirrors/debian.list` (apt-transport-mirror(1), used by Debian's cloud images) stands for the
/// addresses in that file, one a line, each perhaps followed by a tab and properties.
fn expand(uri: &str) -> Vec<String> {
    let Some(path) = uri.strip_prefix("mirror+file:") else {
        return vec![uri.to_owned()];
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| !word.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(files: &[(&str, &str)]) -> Vec<(Archive, String)> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        debian_mirrors(folder.path())
    }

    #[test]
    fn both_formats_are_read_and_other_repositories_left_alone() {
        let one_line = "# deb http://comment/debian trixie main\n\
            deb http://a/debian trixie main contrib # behind\n\
            deb-src http://source/debian trixie main\n\
            deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://b/x trixie-updates main\n\
            deb http://c/debian-security bookworm-security main\n\
            deb [signed-by=/etc/apt/keyrings/docker.asc] https://docker.example/linux/debian trixie main\n\
            deb https://packages.example/apt cloud-sdk-bookworm main\n\
            deb http://d/debian trixie-pgdg main\n\
            deb http://e/debian trixie contrib\n\
            debris\n";
        let deb822 = "Types: deb deb-src\nURIs: http://f/debian/ http://g/debian\nSuites: trixie trixie-updates\n\
            Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n\n\
            Types: deb\nURIs: http://h/debian-security\nSuites: trixie-security\nComponents: main\n\n\
            Types: deb-src\nURIs: http://source/debian\nSuites: trixie\nComponents: main\n\n\
            Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: trixie\nComponents: main\n\n\
            Types: deb\nURIs: https://node.example/debian\nSuites: trixie\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n x\n";
        let found = mirrors(&[
            ("sources.list", one_line),
            ("sources.list.d/debian.sources", deb822),
            (
                "sources.list.d/old.list.save",
                "deb http://save/debian trixie main\n",
            ),
        ]);
        let found: Vec<_> = found
            .iter()
            .map(|(archive, uri)| (*archive, uri.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (Archive::Main, "http://a/debian"),
                (Archive::Main, "http://b/x"),
                (Archive::Security, "http://c/debian-security"),
                (Archive::Main, "http://f/debian/"),
                (Archive::Main, "http://f/debian/"),
                (Archive::Main, "http://g/debian"),
                (Archive::Main, "http://g/debian"),
                (Archive::Security, "http://h/debian-security"),
            ]
        );
    }

    #[test]
    fn a_mirror_list_stands_for_the_addresses_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("debian.list");
        fs::write(
            &list,
            "https://one/debian\tpriority:1\n# no\nhttps://two/debian\n",
        )
        .unwrap();
        let line = format!("deb mirror+file://{} trixie main\n", list.display());
        let found = mirrors(&[("sources.list", &line)]);
        assert_eq!(
            found,
            [
                (Archive::Main, "https://one/debian".to_owned()),
                (Archive::Main, "https://two/debian".to_owned())
            ]
        );
    }
}
