//! `SHA256SUMS` of the output folder, as `sha256sum --check` reads it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::{
    file_lock::{self, Sharing},
    output,
    progress::Progress,
};

/// The file's name.
pub(super) const NAME: &str = "SHA256SUMS";

/// Sets the digests of `files` (name to hexadecimal SHA-256) in the folder's `SHA256SUMS`. Lines of other files stay
/// while the files exist: architectures may be built one after the other, or at the same time by several builds.
pub(super) fn update(
    folder: &Path,
    files: &BTreeMap<String, String>,
    progress: &dyn Progress,
) -> io::Result<()> {
    let path = folder.join(NAME);
    if Change::find(folder, &path, files)?.is_none() {
        return Ok(());
    }
    let _mine = locked(&path, progress)?;
    let written = match Change::find(folder, &path, files)? {
        Some(Change(text)) => output::replace_file(&path, text.as_bytes()),
        None => Ok(()),
    };
    if written.is_err() && fs::metadata(&path).is_ok_and(|found| found.len() == 0) {
        fs::remove_file(&path)?; // it was only made to be locked
    }
    written
}

/// The file, locked against other builds. Who had the lock before may have replaced the file: then its name leads to
/// another one now, and that is the one to lock.
fn locked(path: &Path, progress: &dyn Progress) -> io::Result<File> {
    loop {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        file_lock::wait(&file, Sharing::Alone, "the output folder", progress)?;
        let (mine, named) = (file.metadata()?, fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (mine.dev(), mine.ino())) {
            return Ok(file);
        }
    }
}

/// What the file has to become.
struct Change(String);

impl Change {
    /// None when the file is right as it is.
    fn find(folder: &Path, path: &Path, files: &BTreeMap<String, String>) -> io::Result<Option<Self>> {
        let old = match fs::read_to_string(path) {
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
        Ok((text != old).then_some(Self(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn update(folder: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
        super::update(folder, files, &Silent)
    }

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

    #[test]
    fn builds_that_end_at_the_same_time_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..16).map(|i| format!("{i}.img")).collect();
        for name in &names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        std::thread::scope(|scope| {
            for name in &names {
                let sums = BTreeMap::from([(name.clone(), "00".to_owned())]);
                let folder = folder.path();
                scope.spawn(move || update(folder, &sums).unwrap());
            }
        });
        let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
        assert_eq!(text.lines().count(), names.len(), "{text}");
    }
}
