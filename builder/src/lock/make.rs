//! Makes a lock: resolve, fetch, judge every maintainer script.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::Path,
    sync::Mutex,
};

use outcrop_release::{arch::Architecture, board::Board};

use super::{
    LockError,
    apt::{self, AptError, Origin, Resolved, Suites, UnknownPackage, Wanted},
    error::UnreviewedScripts,
    format::{Archive, Lock, LockedPackage, LockedScript, Role, ScriptKind},
    gate::{self, Script, Unreviewed},
    recipe_digest,
};
use crate::{
    cache::Cache,
    deb::{Deb, Limits},
    fetch::{Clock, Effort, FetchError, Fetcher, Mirrors, Mode, Recheck, Shelf, Sources, Transport},
    progress::{Progress, Unit},
    recipe::{Item, LoadedRecipe},
};

/// What every image needs beside Debian's essential packages, whatever the recipe says: an init, device management, a
/// bus, modules, and the check and growth of the data partition.
pub const NEEDED: [&str; 6] = ["dbus", "e2fsprogs", "kmod", "systemd", "systemd-sysv", "udev"];

/// What locking works with.
#[derive(Clone, Copy)]
pub struct Locker<'a> {
    /// Lists and packages are kept here.
    pub cache: &'a Cache,
    /// Where the archive is; the first of each kind is used for the lists.
    pub mirrors: &'a Mirrors,
    /// Which suites are locked.
    pub suites: Suites,
    /// Who may sign the archive: [`apt::DEBIAN_KEYRING`], but for tests.
    pub keyring: &'a [u8],
    /// Downloads packages.
    pub transport: &'a dyn Transport,
    /// Waits between tries.
    pub clock: &'a dyn Clock,
    /// Told about the phases.
    pub progress: &'a dyn Progress,
}

impl Locker<'_> {
    /// Makes the lock of a recipe.
    ///
    /// # Errors
    /// Any [`LockError`].
    pub fn lock(&self, loaded: &LoadedRecipe) -> Result<Lock, LockError> {
        let resolved = self.resolve(loaded)?;
        let wanted = distinct(&resolved);
        let scripts = self.scripts(&wanted, &loaded.recipe.packages.accept_scripts)?;
        refuse_idle_acceptances(loaded, &scripts)?;
        let mut packages = resolved.packages;
        for (&arch, package) in packages
            .iter_mut()
            .flat_map(|(arch, list)| list.iter_mut().map(move |p| (arch, p)))
        {
            if package.role == Role::Root {
                let members = scripts.get(&key(arch, package)).into_iter().flatten();
                package.scripts = members.filter_map(Member::script).cloned().collect();
            }
        }
        Ok(Lock {
            recipe: recipe_digest(&loaded.recipe),
            suites: resolved.suites,
            packages,
        })
    }

    fn resolve(&self, loaded: &LoadedRecipe) -> Result<Resolved, LockError> {
        let phase = self.progress.phase("resolve packages", None, Unit::Items);
        let origin = self.origin(loaded)?;
        let resolved = apt::resolve(&self.cache.apt(), &origin, &wanted(loaded), self.progress);
        drop(phase);
        resolved.map_err(|error| match error {
            AptError::Unknown(names) => unknown(loaded, &names),
            error => error.into(),
        })
    }

    fn origin(&self, loaded: &LoadedRecipe) -> Result<Origin, LockError> {
        let base = &loaded.recipe.base;
        let first = |archive| {
            self.mirrors
                .of(archive)
                .first()
                .cloned()
                .ok_or(LockError::NoMirror)
        };
        Ok(Origin {
            suite: base.suite.clone(),
            suites: self.suites,
            components: base.components.clone(),
            main: first(Archive::Main)?,
            security: first(Archive::Security)?,
            keyring: self.keyring.to_owned(),
        })
    }

    /// Fetches the packages and judges their scripts. What was damaged in the cache is fetched again.
    fn scripts(
        &self,
        wanted: &[(Architecture, LockedPackage)],
        accepted: &[String],
    ) -> Result<Judged, LockError> {
        let mut found = self.judge_each(wanted, accepted, Found::default())?;
        let damaged = std::mem::take(&mut found.damaged);
        if !damaged.is_empty() {
            self.progress
                .note("packages in the cache were damaged: they are fetched again");
            found = self.judge_each(&damaged, accepted, found)?;
        }
        if !found.damaged.is_empty() {
            return Err(LockError::Fetch(FetchError::Cache {
                folder: self.cache.packages(),
                source: std::io::Error::other("what was written is read back as something else"),
            }));
        }
        if !found.unreviewed.is_empty() {
            return Err(LockError::Scripts(UnreviewedScripts(
                found.unreviewed.into_values().collect(),
            )));
        }
        Ok(found.judged)
    }

    /// Fetches the packages and judges their scripts as they come in, beside what is `found` already.
    fn judge_each(
        &self,
        wanted: &[(Architecture, LockedPackage)],
        accepted: &[String],
        found: Found,
    ) -> Result<Found, LockError> {
        let packages: Vec<_> = wanted.iter().map(|(_, package)| package.clone()).collect();
        let shelf = Shelf::of(self.cache);
        let sources = Sources {
            mirrors: self.mirrors.clone(),
            snapshot: None,
        };
        let fetcher = Fetcher {
            shelf: &shelf,
            sources: &sources,
            mode: Mode::Online,
            effort: Effort::default(),
            transport: self.transport,
            clock: self.clock,
            progress: self.progress,
        };
        let found = Mutex::new(found);
        let fetched = fetcher.fetch_each(&packages, &|fetched| match wanted.get(fetched.index) {
            Some((arch, package)) => {
                let judged = judge(&fetched.path, *arch, package, accepted);
                if judged.is_err() && matches!(shelf.recheck(&package.sha256), Ok(Recheck::Removed)) {
                    found_lock(&found).damaged.push((*arch, package.clone()));
                    return ControlFlow::Continue(());
                }
                found_lock(&found).take(*arch, package, judged)
            }
            None => ControlFlow::Continue(()),
        });
        let found = found
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(error) = found.broken {
            return Err(error);
        }
        fetched?;
        Ok(found)
    }
}

/// An acceptance of a script that no locked package has does nothing now, and would let a later script pass unseen.
fn refuse_idle_acceptances(loaded: &LoadedRecipe, judged: &Judged) -> Result<(), LockError> {
    let there: BTreeSet<String> = judged
        .iter()
        .flat_map(|((_, name), members)| {
            members
                .iter()
                .map(move |member| format!("{name}/{}", member.name()))
        })
        .collect();
    let accepted = &loaded.recipe.packages.accept_scripts;
    let idle = accepted.iter().filter(|name| !there.contains(*name));
    let problems: Vec<_> = idle
        .map(|name| {
            let message = format!("no locked package has the script {name}, which is accepted here");
            loaded
                .problem(&Item::AcceptedScript(name.clone()), message)
                .help("take it out of packages.accept-scripts: it would accept a script that nobody has read")
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(loaded.invalid(problems).into())
}

fn found_lock(found: &Mutex<Found>) -> std::sync::MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A judged member of a package's control archive that is fine.
#[derive(Debug)]
enum Member {
    Script(LockedScript),
    /// No lock holds it, but the recipe may accept it.
    Triggers,
}

impl Member {
    /// What `accept-scripts` calls it.
    fn name(&self) -> &'static str {
        match self {
            Self::Script(script) => script.kind.as_str(),
            Self::Triggers => gate::triggers::MEMBER,
        }
    }

    fn script(&self) -> Option<&LockedScript> {
        match self {
            Self::Script(script) => Some(script),
            Self::Triggers => None,
        }
    }
}

type Judgement = Result<Member, Box<Unreviewed>>;

/// What packages have; the architecture counts, because scripts hold its name.
type Judged = BTreeMap<(Architecture, String), Vec<Member>>;

fn key(arch: Architecture, package: &LockedPackage) -> (Architecture, String) {
    (arch, package.name.clone())
}

#[derive(Debug, Default)]
struct Found {
    judged: Judged,
    /// By name and script: the other architecture's twin is not shown.
    unreviewed: BTreeMap<(String, &'static str), Unreviewed>,
    broken: Option<LockError>,
    /// Files of the cache that weren't what they were, and are gone now.
    damaged: Vec<(Architecture, LockedPackage)>,
}

impl Found {
    fn take(
        &mut self,
        arch: Architecture,
        package: &LockedPackage,
        judged: Result<Vec<Judgement>, LockError>,
    ) -> ControlFlow<()> {
        let scripts = match judged {
            Ok(scripts) => scripts,
            Err(error) => {
                self.broken.get_or_insert(error);
                return ControlFlow::Break(());
            }
        };
        let mut members = Vec::new();
        for script in scripts {
            match script {
                Ok(member) => members.push(member),
                Err(one) => {
                    self.unreviewed.insert((one.package.clone(), one.member), *one);
                }
            }
        }
        self.judged.insert(key(arch, package), members);
        ControlFlow::Continue(())
    }
}

/// Reads a package's control member and judges its scripts.
fn judge(
    path: &Path,
    architecture: Architecture,
    package: &LockedPackage,
    accepted: &[String],
) -> Result<Vec<Judgement>, LockError> {
    let expected = format!("{} {} {}", package.name, package.version, package.architecture);
    let mut deb = Deb::open(path, Limits::default())?.named(&expected);
    let control = deb.control()?;
    let found = format!(
        "{} {} {}",
        control.package(),
        control.version(),
        control.architecture()
    );
    if found != expected {
        let path = package.path.clone();
        return Err(LockError::Mismatch {
            path,
            expected,
            found,
        });
    }
    if package.role == Role::Boot {
        return Ok(Vec::new());
    }
    let mut judged = Vec::new();
    for kind in [ScriptKind::Preinst, ScriptKind::Postinst] {
        let Some(bytes) = control.file(kind.as_str()) else {
            continue;
        };
        let init_only = &gate::init_only(&mut deb, bytes)?;
        let script = gate::judge(
            &Script {
                package: &package.name,
                architecture,
                kind,
                bytes,
                init_only,
            },
            accepted,
        );
        judged.push(script.map(Member::Script));
    }
    if let Some(bytes) = control.file("triggers") {
        judged.push(gate::triggers::judge(&package.name, bytes, accepted).map(|()| Member::Triggers));
    }
    Ok(judged)
}

/// Every package once per architecture; packages for all architectures too, as their scripts are judged for each.
fn distinct(resolved: &Resolved) -> Vec<(Architecture, LockedPackage)> {
    let mut seen = BTreeSet::new();
    let all = resolved
        .packages
        .iter()
        .flat_map(|(arch, list)| list.iter().map(|package| (*arch, package.clone())));
    all.filter(|(arch, package)| seen.insert((*arch, package.name.clone())))
        .collect()
}

fn wanted(loaded: &LoadedRecipe) -> BTreeMap<Architecture, Wanted> {
    let recipe = &loaded.recipe;
    let boot: &[&str] = match recipe.image.board {
        Board::Efi => &["systemd-boot-efi"],
        Board::Rpi => &["raspi-firmware", "u-boot-rpi"],
    };
    let mut boot: BTreeSet<String> = boot.iter().map(|name| (*name).to_owned()).collect();
    if recipe.boot.watchdog.is_some() {
        boot.insert("efibootguard".to_owned());
    }
    let of = |arch: &Architecture| {
        let named = NEEDED
            .iter()
            .map(|name| (*name).to_owned())
            .chain(recipe.packages.install.iter().cloned());
        let root = named.chain(recipe.kernel.package.get(arch).cloned()).collect();
        (
            *arch,
            Wanted {
                root,
                boot: boot.clone(),
            },
        )
    };
    recipe.image.architectures.iter().map(of).collect()
}

/// Shows unknown packages where the recipe says them.
fn unknown(loaded: &LoadedRecipe, names: &[UnknownPackage]) -> LockError {
    let problem = |unknown: &UnknownPackage| {
        let package = Item::Package(unknown.name.clone());
        let kernel = Item::KernelPackage(unknown.arch);
        let item = if loaded.locate(&package).is_some() {
            package
        } else {
            kernel
        };
        let problem = loaded.problem(&item, unknown.to_string());
        match &unknown.nearest {
            Some(nearest) if unknown.providers.is_empty() => {
                problem.help(format!("the nearest name is {nearest}"))
            }
            _ => problem,
        }
    };
    loaded.invalid(names.iter().map(problem).collect()).into()
}

#[cfg(test)]
#[path = "make_tests.rs"]
mod tests;
