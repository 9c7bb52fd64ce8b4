//! UEFI firmware images for QEMU, where Debian's packages put them.

use std::path::{Path, PathBuf};

use outcrop_release::arch::Architecture;

use super::RunError;

/// A firmware: its code, and the variables that a new machine starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Mapped read-only.
    pub code: PathBuf,
    /// Template of the variable store: copied for each machine.
    pub variables: PathBuf,
}

/// Code and variables, in order of preference.
const X86_64: [(&str, &str); 2] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];
const AARCH64: [(&str, &str); 2] = [
    (
        "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
        "/usr/share/AAVMF/AAVMF_VARS.fd",
    ),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
];

impl Firmware {
    /// The firmware that is installed on this machine.
    ///
    /// # Errors
    /// [`RunError::Firmware`] when there is none, with the package that has it.
    pub fn find(architecture: Architecture) -> Result<Self, RunError> {
        let (candidates, package) = match architecture {
            Architecture::X86_64 => (&X86_64, "ovmf"),
            Architecture::Aarch64 => (&AARCH64, "qemu-efi-aarch64"),
        };
        let there =
            |(code, variables): &&(&str, &str)| Path::new(code).exists() && Path::new(variables).exists();
        candidates
            .iter()
            .find(there)
            .map(|(code, variables)| Self {
                code: PathBuf::from(code),
                variables: PathBuf::from(variables),
            })
            .ok_or_else(|| RunError::Firmware {
                architecture,
                looked_for: candidates.iter().map(|(code, _)| PathBuf::from(code)).collect(),
                package,
            })
    }
}
