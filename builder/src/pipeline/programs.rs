//! The device's static programs: found by folder and architecture, checked before they go into an image.

use std::path::{Path, PathBuf};

use object::{Object as _, ObjectKind};
use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::PipelineError;
use crate::tree::Content;

/// PID 1 of the initramfs.
const INIT: &str = "outcrop-init";
/// The updater.
const UPDATER: &str = "outcrop-updater";

/// The programs of one architecture.
#[derive(Debug)]
pub(super) struct DevicePrograms {
    /// `outcrop-init`.
    pub(super) init: Content,
    /// `outcrop-updater`.
    pub(super) updater: Content,
    /// Name and SHA-256 of each, for the SBOM and the build's key.
    pub(super) digests: Vec<(&'static str, FileDigest)>,
}

impl DevicePrograms {
    /// Reads them from `folder/ARCHITECTURE`.
    pub(super) fn read(folder: &Path, architecture: Architecture) -> Result<Self, PipelineError> {
        let folder = folder.join(architecture.as_str());
        let read = |name: &str| -> Result<_, PipelineError> {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(|source| PipelineError::NoProgram {
                path: path.clone(),
                source,
            })?;
            check(&bytes, architecture).map_err(|why| PipelineError::Program {
                path,
                architecture,
                why,
            })?;
            Ok((FileDigest::of(&bytes), Content::from(bytes)))
        };
        let ((init_digest, init), (updater_digest, updater)) = (read(INIT)?, read(UPDATER)?);
        let digests = vec![(INIT, init_digest), (UPDATER, updater_digest)];
        Ok(Self {
            init,
            updater,
            digests,
        })
    }
}

/// The folder of the programs when the command line names none: beside the builder's own program, where
/// `cargo xtask device` puts them (`target/PROFILE/outcrop`, `target/device-programs`) or an installation does
/// (`bin/outcrop`, `lib/outcrop/device-programs`).
pub(super) fn default_folder(builder: &Path) -> Option<PathBuf> {
    let prefix = builder.parent()?.parent()?;
    ["device-programs", "lib/outcrop/device-programs"]
        .into_iter()
        .map(|folder| prefix.join(folder))
        .find(|folder| folder.is_dir())
}

/// Static, executable, for the right processor.
fn check(bytes: &[u8], architecture: Architecture) -> Result<(), &'static str> {
    let file = object::File::parse(bytes).map_err(|_| "it is no program (ELF)")?;
    let right = match architecture {
        Architecture::X86_64 => object::Architecture::X86_64,
        Architecture::Aarch64 => object::Architecture::Aarch64,
    };
    if file.architecture() != right {
        return Err("it is for another processor");
    }
    let dynamic = file.sections().any(|section| {
        use object::ObjectSection as _;
        section.name() == Ok(".interp")
    });
    match file.kind() {
        ObjectKind::Executable | ObjectKind::Dynamic if !dynamic => Ok(()),
        ObjectKind::Executable | ObjectKind::Dynamic => {
            Err("it is linked dynamically, and an initramfs has no libraries")
        }
        _ => Err("it is an object file or library, no program"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_a_foreign_program_and_a_dynamic_one_are_refused() {
        assert_eq!(
            check(b"#!/bin/sh\n", Architecture::X86_64),
            Err("it is no program (ELF)")
        );
        let myself = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let (host, other) = match std::env::consts::ARCH {
            "aarch64" => (Architecture::Aarch64, Architecture::X86_64),
            _ => (Architecture::X86_64, Architecture::Aarch64),
        };
        assert_eq!(check(&myself, other), Err("it is for another processor"));
        assert_eq!(
            check(&myself, host),
            Err("it is linked dynamically, and an initramfs has no libraries")
        );
    }

    #[test]
    fn a_missing_program_is_named_with_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = DevicePrograms::read(folder.path(), Architecture::Aarch64).unwrap_err();
        assert!(error.to_string().contains("aarch64/outcrop-init"), "{error}");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("cargo xtask device"), "{help}");
    }
}
