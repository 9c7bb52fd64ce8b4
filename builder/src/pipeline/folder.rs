//! The output folder of a build: tried before the work, cleared of what dead builds left.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    file_lock::{self, Sharing},
    output,
    progress::Progress,
};

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".outcrop-";

/// A folder that images are being written to, marked so (flock) for other builds while the value lives.
#[derive(Debug)]
pub(super) struct OutputFolder {
    _mark: File,
}

impl OutputFolder {
    /// Marks `folder`. Unless another build writes there just now, what killed builds left unfinished goes: a living build
    /// holds its mark, and the kernel takes that from a dead one.
    pub(super) fn open(folder: &Path, progress: &dyn Progress) -> io::Result<Self> {
        let mark = File::open(folder)?;
        // A file system that can't lock a folder (NFS) keeps its leftovers, and its builds have no marks.
        if let Ok(alone) = file_lock::attempt(&mark, Sharing::Alone) {
            if alone {
                remove_leftovers(folder)?;
            }
            // Another build may just be removing leftovers: this one must not begin without its mark.
            file_lock::wait(&mark, Sharing::Shared, "the output folder", progress)?;
        }
        Ok(Self { _mark: mark })
    }

    /// Tries whether a file can be made in `folder`.
    pub(super) fn check_writable(folder: &Path) -> io::Result<()> {
        output::try_beside(&folder.join("x"))
    }
}

fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        if unfinished && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn leftovers_of_dead_builds_go_and_those_of_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), "x").unwrap();
        for name in [
            ".outcrop-a.partial",
            ".outcrop-data-b",
            ".outcrop-mke2fs-c",
            "edge.img",
            ".other",
        ] {
            write(name);
        }
        let living = OutputFolder::open(folder.path(), &Silent).unwrap();
        assert_eq!(names(folder.path()), [".other", "edge.img"]);
        write(".outcrop-data-d");
        let second = OutputFolder::open(folder.path(), &Silent).unwrap();
        assert_eq!(names(folder.path()), [".other", ".outcrop-data-d", "edge.img"]);
        drop((living, second));
        OutputFolder::open(folder.path(), &Silent).unwrap();
        assert_eq!(names(folder.path()), [".other", "edge.img"]);
    }
}
