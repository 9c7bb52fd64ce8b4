//! Locks a recipe of a Debian release that `outcrop lock` has neither keys nor reviews for: `lock_release KEYRING CACHE RECIPE`, with the
//! release's archive keys, ASCII-armoured, and all suites. The lock goes beside the recipe. Scripts that nobody vouches for are accepted and do
//! nothing; their names are printed, as the recipe has to say them before it is built.
//!
//! For `cargo xtask bench delta`, which updates from the release before this one, and boots nothing. A product takes `outcrop lock`, whose keys
//! are built in, and which accepts nothing by itself.
#![allow(clippy::print_stdout)] // its output is the recipe's line

use std::{collections::BTreeSet, error::Error, ffi::OsString, fs, path::Path};

use outcrop_builder::{
    cache::Cache,
    fetch::{Effort, Http, Mirrors, SystemClock, Timeouts},
    lock::{self, Lock, LockError, Locker, apt::Suites, format::Verdict},
    output,
    progress::Silent,
    recipe::{self, LoadedRecipe},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [keyring, cache, path] = arguments.as_slice() else {
        return Err("usage: lock_release KEYRING CACHE RECIPE".into());
    };
    let (keyring, path) = (fs::read(keyring)?, Path::new(path));
    let mirror = std::env::var_os("OUTCROP_MIRROR");
    let locker = Locker {
        cache: &Cache::at(Path::new(cache)),
        mirrors: &Mirrors::choose(None, mirror.as_deref(), "/etc/apt".as_ref())?,
        suites: Suites::Current,
        keyring: &keyring,
        transport: &Http::new(Timeouts::default(), Effort::default().connections),
        clock: &SystemClock,
        progress: &Silent,
    };
    let mut loaded = recipe::load(path)?;
    let lock = accepting_all(&locker, &mut loaded)?;
    output::replace_file(&lock::text::path_for(path), lock::text::write(&lock)?.as_bytes())?;
    println!("accept-scripts = {:?}", loaded.recipe.packages.accept_scripts);
    Ok(())
}

/// Locks; what is refused for its scripts is locked again with these accepted.
fn accepting_all(locker: &Locker<'_>, loaded: &mut LoadedRecipe) -> Result<Lock, LockError> {
    let mut lock = match locker.lock(loaded) {
        Err(LockError::Scripts(refused)) => {
            let names = refused
                .0
                .iter()
                .map(|script| format!("{}/{}", script.package, script.member));
            let names: BTreeSet<String> = names.collect();
            loaded.recipe.packages.accept_scripts.extend(names);
            locker.lock(loaded)?
        }
        locked => locked?,
    };
    let packages = lock.packages.values_mut().flatten();
    for script in packages.flat_map(|package| &mut package.scripts) {
        // What is recognised in a script of which lines are missing may need what these would have made.
        if script.verdict == Verdict::Accepted {
            script.actions.clear();
        }
    }
    Ok(lock)
}
