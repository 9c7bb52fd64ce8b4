//! The images that the demo, the tests and the benches use.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Error, host::Arch, project, shell};

/// Which cargo profile the builder is compiled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to compile: tests and the demo.
    Dev,
    /// What users run: benches.
    Release,
}

/// Compiles `outcrop` and returns its path.
pub(crate) fn builder(profile: Profile) -> Result<PathBuf, Error> {
    let mut cargo = project::cargo();
    cargo.args(["build", "--locked", "--package", "outcrop-builder", "--bins"]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    shell::run(&mut cargo)?;
    Ok(project::target().join(folder).join("outcrop"))
}

/// `outcrop build` for these architectures; the images go to the returned folder.
pub(crate) fn build(outcrop: &Path, recipe: &str, archs: &[Arch]) -> Result<PathBuf, Error> {
    let output = project::target().join("images");
    let mut command = Command::new(outcrop);
    command
        .arg("build")
        .arg(project::root().join("recipes").join(recipe))
        .arg("--output")
        .arg(&output);
    command.arg("--device-programs").arg(project::device_programs());
    for arch in archs {
        command.args(["--arch", arch.as_str()]);
    }
    shell::run(&mut command)?;
    Ok(output)
}

/// The newest image of a product in `folder`.
pub(crate) fn find(folder: &Path, name: &str, arch: Arch) -> Result<PathBuf, Error> {
    let suffix = format!("-{}-efi.img", arch.as_str());
    let is_wanted = |file: &String| {
        let version = file
            .strip_suffix(&suffix)
            .and_then(|rest| rest.strip_prefix(name)?.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    let entries = folder.read_dir().map_err(|source| Error::File {
        doing: "list folder",
        path: folder.to_owned(),
        source,
    })?;
    let mut files: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(is_wanted)
        .collect();
    files.sort_unstable();
    let newest = files.pop().map(|file| folder.join(file));
    newest.ok_or_else(|| {
        Error::Unexpected(format!(
            "the build left no {name}-VERSION{suffix} in {}",
            folder.display()
        ))
    })
}
