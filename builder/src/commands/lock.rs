//! `outcrop lock`: resolves a recipe's packages into the lock file beside it.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _, path::PathBuf};

use super::Context;
use crate::{
    cache::CacheError,
    error::Error,
    fetch::{Effort, Http, Mirrors, SystemClock, Timeouts},
    lock::{self, Lock, LockError, Locker, apt::Suites},
    output, recipe,
};

/// `outcrop lock`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// The recipe.
    pub recipe: PathBuf,
    /// `--point-release`, or all.
    pub suites: Suites,
    /// `--mirror`.
    pub mirror: Option<String>,
    /// The value of `OUTCROP_MIRROR`.
    pub mirror_variable: Option<OsString>,
}

/// Makes the lock and writes it beside the recipe; says what changed.
///
/// # Errors
/// When the recipe is wrong, its packages can't be resolved, a script is not reviewed, or the file can't be written.
/// The old lock is then still there.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let loaded = recipe::load(&options.recipe)?;
    let path = lock::text::path_for(&options.recipe);
    let unwritable = |source| LockError::Write {
        path: path.clone(),
        source,
    };
    output::try_beside(&path).map_err(unwritable)?;
    let mirrors = Mirrors::choose(
        options.mirror.as_deref(),
        options.mirror_variable.as_deref(),
        "/etc/apt".as_ref(),
    )?;
    let cache = context.cache()?;
    let shared = cache.share(context.progress.as_ref());
    let _in_use = shared.map_err(|source| CacheError::Io {
        doing: "lock",
        folder: cache.root().to_owned(),
        source,
    })?;
    let locker = Locker {
        cache,
        mirrors: &mirrors,
        suites: options.suites,
        keyring: lock::apt::DEBIAN_KEYRING,
        transport: &Http::new(Timeouts::default(), Effort::default().connections),
        clock: &SystemClock,
        progress: context.progress.as_ref(),
    };
    let old = lock::text::read_any(&path, &options.recipe.display().to_string()).ok();
    let new = locker.lock(&loaded)?;
    let text = lock::text::write(&new).map_err(LockError::Text)?;
    output::replace_file(&path, text.as_bytes()).map_err(unwritable)?;
    let mut told = summary(old.as_ref(), &new);
    let _infallible = writeln!(told, "{}: {}", path.display(), counts(&new));
    let _infallible = writeln!(told, "next: outcrop build {}", options.recipe.display());
    context.summarize(told)
}

fn counts(lock: &Lock) -> String {
    let count = |(arch, list): (_, &Vec<_>)| format!("{} packages for {arch}", list.len());
    lock.packages.iter().map(count).collect::<Vec<_>>().join(", ")
}

/// Packages that came, went or changed their version, each with the architectures that it did so for.
fn summary(old: Option<&Lock>, new: &Lock) -> String {
    let Some(old) = old else { return String::new() };
    let (before, after) = (versions(old), versions(new));
    let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut add = |line: String, arch| lines.entry(line).or_default().push(arch);
    for ((name, arch), version) in &after {
        match before.get(&(*name, *arch)) {
            None => add(format!("+ {name} {version}"), arch),
            Some(old) if old != version => add(format!("  {name} {old} -> {version}"), arch),
            Some(_) => {}
        }
    }
    for ((name, arch), version) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        add(format!("- {name} {version}"), arch);
    }
    if lines.is_empty() {
        return "no package changed\n".to_owned();
    }
    let mut sorted: Vec<_> = lines.into_iter().collect();
    sorted.sort_by(|a, b| a.0.get(2..).cmp(&b.0.get(2..)));
    sorted.into_iter().fold(String::new(), |text, (line, arches)| {
        text + &format!("{line} ({})\n", arches.join(", "))
    })
}

fn versions(lock: &Lock) -> BTreeMap<(&str, &str), &str> {
    let all = lock
        .packages
        .iter()
        .flat_map(|(arch, list)| list.iter().map(move |package| (arch, package)));
    all.map(|(arch, package)| ((package.name.as_str(), arch.as_str()), package.version.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use outcrop_release::{arch::Architecture, digest::FileDigest};

    use super::*;
    use crate::lock::format::{Archive, LockedPackage, Role};

    fn lock(packages: &[(Architecture, &str, &str)]) -> Lock {
        let mut lock = Lock {
            recipe: FileDigest::of(b""),
            suites: Vec::new(),
            packages: BTreeMap::new(),
        };
        for (arch, name, version) in packages {
            lock.packages.entry(*arch).or_default().push(LockedPackage {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                architecture: "all".to_owned(),
                role: Role::Root,
                archive: Archive::Main,
                path: String::new(),
                size: 0,
                sha256: FileDigest::of(b""),
                scripts: Vec::new(),
            });
        }
        lock
    }

    #[test]
    fn the_summary_tells_what_came_went_and_changed_by_name() {
        use Architecture::{Aarch64, X86_64};
        let old = lock(&[
            (X86_64, "gone", "1"),
            (X86_64, "curl", "1"),
            (Aarch64, "curl", "1"),
            (X86_64, "same", "1"),
        ]);
        let new = lock(&[
            (X86_64, "curl", "2"),
            (Aarch64, "curl", "2"),
            (X86_64, "same", "1"),
            (Aarch64, "new", "1"),
        ]);
        assert_eq!(
            summary(Some(&old), &new),
            "  curl 1 -> 2 (aarch64, x86_64)\n- gone 1 (x86_64)\n+ new 1 (aarch64)\n"
        );
        assert_eq!(summary(Some(&new), &new), "no package changed\n");
        assert_eq!(summary(None, &new), "");
        assert_eq!(counts(&new), "2 packages for x86_64, 2 packages for aarch64");
    }
}
