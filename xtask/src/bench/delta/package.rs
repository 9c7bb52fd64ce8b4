//! One small package, rebuilt: today's lock, and the same with that package as the last point release has it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    failed,
    fixtures::{Difference, Release},
    lock_text::{self, Table},
    payload::digest_of,
};
use crate::{error::Error, host::Arch, project, shell};

/// Packages below this hold nothing but names of others.
const LEAST_BYTES: u64 = 64 << 10;
/// What images don't carry: builder/src/finish/trim.rs.
const LEFT_OUT: [&str; 5] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
];

/// Which package it is depends on the day: the smallest whose security fix came alone.
pub(super) fn difference(point: &str, today: &str, folder: &Path) -> Result<Difference, Error> {
    let changed = lock_text::changed(point, today, Arch::X86_64.as_str());
    let found = lock_text::smallest_alone(&changed, LEAST_BYTES);
    let none = || {
        Error::Unexpected(
            "no package has changed alone since the last point release: measure the pair another day, or with the locks of one".to_owned(),
        )
    };
    let (old, new) = found.ok_or_else(none)?;
    let release = |lock| Release {
        lock,
        ..Release::default()
    };
    let version = |table: &Table| table.value("version").unwrap_or_default().to_owned();
    Ok(Difference {
        old: release(lock_text::replace(today, new, old)?),
        new: release(today.to_owned()),
        what: format!(
            "the package {} alone: {} -> {}, {} bytes compressed",
            new.name(),
            version(old),
            version(new),
            new.size()
        ),
        changed_files: Some(changed_bytes(old, new, &folder.join("files"))?),
    })
}

/// Where the cache has a package.
pub(super) fn cached(table: &Table) -> Result<PathBuf, Error> {
    let odd = || Error::Unexpected(format!("the lock's package {} has no SHA-256", table.name()));
    let sha256 = table.value("sha256").ok_or_else(odd)?;
    let first = sha256.get(..2).ok_or_else(odd)?;
    Ok(project::cache().join("packages").join(first).join(sha256))
}

/// Bytes of the new package's files that the old one hasn't, each compressed by itself with `zstd -19`.
fn changed_bytes(old: &Table, new: &Table, folder: &Path) -> Result<u64, Error> {
    let [old, new] = [(old, "old"), (new, "new")].map(|(table, name)| unpack(table, &folder.join(name)));
    let (old, new) = (old?, new?);
    let changed = new
        .iter()
        .filter(|(path, (digest, _))| old.get(*path).is_none_or(|(before, _)| before != digest));
    changed
        .map(|(_, (_, file))| {
            let compressed = folder.join("file.zst");
            let mut zstd = Command::new("zstd");
            shell::run(zstd.args(["-q", "-f", "-19", "-o"]).arg(&compressed).arg(file))?;
            let facts = fs::metadata(&compressed).map_err(failed("look at", &compressed))?;
            Ok(facts.len())
        })
        .sum()
}

/// Digest and place of every file of a package that images carry.
type Files = BTreeMap<PathBuf, (String, PathBuf)>;

fn unpack(table: &Table, folder: &Path) -> Result<Files, Error> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
    let package = cached(table)?;
    if !package.exists() {
        return Err(Error::Unexpected(format!(
            "the cache has no {} ({}): --anew locks again, which fetches it",
            table.name(),
            package.display()
        )));
    }
    shell::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(folder),
    )?;
    let mut files = Files::new();
    walk(folder, &mut |path| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        if !LEFT_OUT.iter().any(|left| name.starts_with(left)) {
            files.insert(name.to_owned(), (digest_of(path)?, path.to_owned()));
        }
        Ok(())
    })
    .map_err(failed("read", folder))?;
    Ok(files)
}

fn walk(folder: &Path, take: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let kind = entry?;
        if kind.is_dir() {
            walk(&path, take)?;
        } else if kind.is_file() {
            take(&path)?;
        }
    }
    Ok(())
}

/// Removes a folder that may not be there.
pub(super) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}
