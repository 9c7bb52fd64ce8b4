//! The same kernel and modules under another version's name: what a rebuilt kernel package looks like before its content is compared.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    failed,
    fixtures::{Difference, Release, write},
    lock_text::{self, Table},
    package::{cached, remove_folder},
    payload::digest_of,
};
use crate::{error::Error, host::Arch, project, shell};

const PREFIX: &str = "linux-image-";
/// What the name gets behind its digits. Debian's own upload numbers look like it.
const SUFFIX: &str = ".1";

/// Packs today's kernel package again, with every path that has the kernel's version renamed and no byte of a file changed.
pub(super) fn difference(today: &str, folder: &Path) -> Result<Difference, Error> {
    let kernel = kernel(today)?;
    let release = kernel.name().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let renamed = release.replacen(upstream(&release), &format!("{}{SUFFIX}", upstream(&release)), 1);
    let package = repack(&kernel, &release, &renamed, folder)?;
    let table = replace_values(&kernel, &package, (&release, &renamed))?;
    let release_of = |lock| Release {
        lock,
        ..Release::default()
    };
    Ok(Difference {
        old: release_of(today.to_owned()),
        new: release_of(lock_text::replace(today, &kernel, &table)?),
        what: format!("/usr/lib/modules/{release} is /usr/lib/modules/{renamed}; the files are the same"),
        changed_files: None,
    })
}

/// The digits and dots that a kernel's release begins with.
fn upstream(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.');
    release.get(..end.unwrap_or(release.len())).unwrap_or_default()
}

/// The package with the kernel itself: the one that its version's name is in.
fn kernel(lock: &str) -> Result<Table, Error> {
    let is_kernel = |table: &Table| {
        let release = table.name().strip_prefix(PREFIX);
        table.arch == Arch::X86_64.as_str()
            && release.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let found = lock_text::tables(lock).into_iter().find(is_kernel);
    found.ok_or_else(|| Error::Unexpected(format!("the lock has no package {PREFIX}VERSION")))
}

fn repack(kernel: &Table, release: &str, renamed: &str, folder: &Path) -> Result<PathBuf, Error> {
    let (tree, package) = (folder.join("kernel"), folder.join("kernel.deb"));
    remove_folder(&tree)?;
    shell::run(
        Command::new("dpkg-deb")
            .arg("--raw-extract")
            .arg(cached(kernel)?)
            .arg(&tree),
    )?;
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))
        .map_err(failed("change the mode of", &tree))?;
    for parent in ["usr/lib/modules", "lib/modules", "boot"] {
        rename_in(&tree.join(parent), release, renamed)?;
    }
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zgzip", "-z1"]);
    // Another day's archive is the same to the byte.
    pack.env("SOURCE_DATE_EPOCH", "0");
    shell::run(pack.arg(&tree).arg(&package))?;
    remove_folder(&tree)?;
    Ok(package)
}

/// Renames what lies in `folder`, if there is one, and has the kernel's release in its name.
fn rename_in(folder: &Path, release: &str, renamed: &str) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(release) {
            let to = folder.join(name.replace(release, renamed));
            fs::rename(entry.path(), &to).map_err(failed("rename to", &to))?;
        }
    }
    Ok(())
}

/// The package's table with its new length and digest; the package goes into the cache, where a build finds it.
fn replace_values(kernel: &Table, package: &Path, (release, renamed): (&str, &str)) -> Result<Table, Error> {
    let digest = digest_of(package).map_err(failed("read", package))?;
    let bytes = fs::read(package).map_err(failed("read", package))?;
    let first = digest.get(..2).unwrap_or_default();
    write(
        &project::cache().join("packages").join(first).join(&digest),
        &bytes,
    )?;
    // What stands for its scripts makes the folder of the modules.
    let folder = |release: &str| format!("\"/lib/modules/{release}");
    let mut text = kernel.text.replace(&folder(release), &folder(renamed));
    for (key, new) in [
        ("size", bytes.len().to_string()),
        ("sha256", format!("\"{digest}\"")),
    ] {
        let old = text
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")))
            .unwrap_or_default()
            .to_owned();
        text = text.replacen(&old, &format!("{key} = {new}"), 1);
    }
    Ok(Table {
        text,
        ..kernel.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_release_begins_with_its_upstream_version() {
        assert_eq!(upstream("6.12.118+deb13-amd64"), "6.12.118");
        assert_eq!(upstream("6.12"), "6.12");
    }
}
