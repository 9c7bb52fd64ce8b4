//! Locks a recipe of a Debian release that `outcrop lock` has no keys for: `lock_release KEYRING CACHE RECIPE`, with the release's archive
//! keys, ASCII-armoured, and all suites. The lock goes beside the recipe. For `cargo xtask bench delta`, which updates from the release before
//! this one: a product takes `outcrop lock`, whose keys are built in.

use std::{error::Error, ffi::OsString, fs, path::Path};

use outcrop_builder::{
    cache::Cache,
    fetch::{Effort, Http, Mirrors, SystemClock, Timeouts},
    lock::{self, Locker, apt::Suites},
    output,
    progress::Silent,
    recipe,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [keyring, cache, path] = arguments.as_slice() else {
        return Err("usage: lock_release KEYRING CACHE RECIPE".into());
    };
    let (keyring, path) = (fs::read(keyring)?, Path::new(path));
    let locker = Locker {
        cache: &Cache::at(Path::new(cache)),
        mirrors: &Mirrors::choose(
            None,
            std::env::var_os("OUTCROP_MIRROR").as_deref(),
            "/etc/apt".as_ref(),
        )?,
        suites: Suites::Current,
        keyring: &keyring,
        transport: &Http::new(Timeouts::default(), Effort::default().connections),
        clock: &SystemClock,
        progress: &Silent,
    };
    let text = lock::text::write(&locker.lock(&recipe::load(path)?)?)?;
    output::replace_file(&lock::text::path_for(path), text.as_bytes())?;
    Ok(())
}
