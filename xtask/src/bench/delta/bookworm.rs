//! Debian 12: the release before the one that `outcrop` has keys for. Locked by the builder's example `lock_release` with that release's keys
//! from this machine's package debian-archive-keyring; built by `outcrop` like any other.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    failed,
    fixtures::{Difference, Release, recipe_text, write},
    lock_text::{self, Table},
    locks::Locks,
};
use crate::{error::Error, host::Arch, project, shell};

const KEYRINGS: &str = "/usr/share/keyrings";
const BASE: &str = "suite = \"bookworm\"";
/// The stub of a boot payload: Debian 12's is followed by bytes that the builder doesn't take.
const STUB: &str = "systemd-boot-efi";

pub(super) fn difference(locks: &Locks<'_>, today: String) -> Result<Difference, Error> {
    let (lock, packages) = locked(&locks.folder)?;
    Ok(Difference {
        old: Release {
            lock: with_stub_of(&today, &lock)?,
            base: BASE,
            packages,
            overlay: None,
        },
        new: Release {
            lock: today,
            ..Release::default()
        },
        what: "Debian 12 with all fixes (the maintainer scripts that nobody reviewed do nothing, and its EFI stub is Debian 13's), and Debian 13 with all \
               fixes"
            .to_owned(),
        changed_files: None,
    })
}

/// The lock, and the recipe's line that accepts its scripts; made when they are not there.
fn locked(folder: &Path) -> Result<(String, String), Error> {
    let recipe = folder.join("bookworm/edge.toml");
    let (lock, accepted) = (recipe.with_extension("lock"), recipe.with_extension("accepted"));
    if !lock.exists() || !accepted.exists() {
        let release = Release {
            base: BASE,
            ..Release::default()
        };
        write(
            &recipe,
            recipe_text(&release, "1.0.0", &folder.with_file_name("trust.toml")),
        )?;
        let mut locker = locker()?;
        locker.arg(keyring(folder)?).arg(project::cache()).arg(&recipe);
        write(&accepted, shell::output(&mut locker)?)?;
    }
    let read = |path: &Path| fs::read_to_string(path).map_err(failed("read", path));
    Ok((read(&lock)?, read(&accepted)?))
}

fn with_stub_of(today: &str, lock: &str) -> Result<String, Error> {
    let [old, new] = [lock, today].map(|lock| {
        let is_stub = |table: &Table| table.arch == Arch::X86_64.as_str() && table.name() == STUB;
        lock_text::tables(lock).into_iter().find(is_stub)
    });
    let missing = || Error::Unexpected(format!("a lock has no package {STUB}"));
    lock_text::replace(lock, &old.ok_or_else(missing)?, &new.ok_or_else(missing)?)
}

/// The program that locks it.
fn locker() -> Result<Command, Error> {
    let mut cargo = project::cargo();
    cargo.args(["build", "--locked", "--release", "--package", "outcrop-builder"]);
    shell::run(cargo.args(["--example", "lock_release"]))?;
    Ok(Command::new(
        project::target().join("release/examples/lock_release"),
    ))
}

/// Debian 12's keys, ASCII-armoured.
fn keyring(folder: &Path) -> Result<PathBuf, Error> {
    let home = folder.join("gnupg");
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&home)
        .map_err(failed("create folder", &home))?;
    let gpg = || {
        let mut command = Command::new("gpg");
        command
            .args(["--batch", "--quiet", "--no-options", "--homedir"])
            .arg(&home);
        command
    };
    shell::run(gpg().arg("--import").args(installed()?))?;
    let text = shell::output(gpg().args(["--armor", "--export"]))?;
    let path = folder.join("bookworm.asc");
    write(&path, text)?;
    Ok(path)
}

/// The key files of debian-archive-keyring; their names end in `.gpg`, from Debian 13 on in `.pgp`.
fn installed() -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(KEYRINGS).map_err(failed("list", Path::new(KEYRINGS)))?;
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("debian-archive-bookworm-") && (name.ends_with(".gpg") || name.ends_with(".pgp"))
    };
    let found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_key)
        .collect();
    if found.is_empty() {
        let why = format!(
            "{KEYRINGS} has no keys of bookworm: apt-get install --no-install-recommends debian-archive-keyring"
        );
        return Err(Error::Unexpected(why));
    }
    Ok(found)
}
