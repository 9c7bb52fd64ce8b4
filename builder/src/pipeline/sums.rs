//! `SHA256SUMS` of the output folder, as `sha256sum --check` reads it.

use std::{collections::BTreeMap, fs, io, path::Path};

use crate::output;

/// The file's name.
pub(super) const NAME: &str = "SHA256SUMS";

/// Sets the digests of `files` (name to hexadecimal SHA-256) in the folder's `SHA256SUMS`. Lines of other files stay
/// while the files exist: architectures may be built one after the other.
pub(super) fn update(folder: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    let path = folder.join(NAME);
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let kept = old
        .lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(_, name)| folder.join(name).is_file());
    let mut all: BTreeMap<&str, &str> = kept.map(|(digest, name)| (name, digest)).collect();
    all.extend(
        files
            .iter()
            .map(|(name, digest)| (name.as_str(), digest.as_str())),
    );
    let text: String = all
        .iter()
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect();
    if text == old {
        Ok(())
    } else {
        output::replace_file(&path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_build_keeps_the_first_ones_lines_and_replaces_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.img", "b.img"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let sums = |name: &str, digest: &str| BTreeMap::from([(name.to_owned(), digest.to_owned())]);
        update(folder.path(), &sums("b.img", "1111")).unwrap();
        update(folder.path(), &sums("a.img", "2222")).unwrap();
        update(folder.path(), &sums("b.img", "3333")).unwrap();
        let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
        assert_eq!(text, "2222  a.img\n3333  b.img\n");
    }

    #[test]
    fn files_that_are_gone_lose_their_line() {
        let folder = tempfile::tempdir().unwrap();
        update(
            folder.path(),
            &BTreeMap::from([("gone.img".to_owned(), "1111".to_owned())]),
        )
        .unwrap();
        update(folder.path(), &BTreeMap::new()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(NAME)).unwrap(), "");
    }
}
