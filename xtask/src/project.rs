//! Where things lie: in the project, and what the build makes of it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The static programs of the device, one folder per architecture: what `outcrop build --device-programs` takes.
pub(crate) fn device_programs() -> PathBuf {
    target().join("device-programs")
}

/// Where downloads and tools are kept between builds: `$XDG_CACHE_HOME/outcrop`.
pub(crate) fn cache() -> PathBuf {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    base.unwrap_or_else(|| target().join("cache")).join("outcrop")
}

/// A cargo command in the project's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    if *IS_FIRST_BUILD {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether nothing but this program was compiled here yet: then nothing is kept for compiling it again after a change, which takes time
/// and gigabytes, and CI never does.
static IS_FIRST_BUILD: LazyLock<bool> = LazyLock::new(|| {
    let kept = target().join("debug/incremental").read_dir();
    let is_ours = |name: &str| name.starts_with("xtask");
    let mut names = kept
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names.all(|name| is_ours(&name.to_string_lossy()))
});
