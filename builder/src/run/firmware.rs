//! UEFI firmware images for QEMU, where Debian's packages put them.

use std::path::{Path, PathBuf};

use outcrop_release::arch::Architecture;

use super::RunError;

/// Whether a firmware can check what it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirmwareKind {
    /// It starts anything.
    #[default]
    Open,
    /// It has Secure Boot, in setup mode until keys are enrolled. Its variables are safe from the guest's kernel.
    SecureBoot,
}

/// A firmware: its code, and the variables that a new machine starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// What it checks.
    pub kind: FirmwareKind,
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
/// Code with Secure Boot and variables without keys.
const X86_64_SECURE: [(&str, &str); 2] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.secboot.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
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
        Self::find_kind(architecture, FirmwareKind::Open)
    }

    /// The same of a kind. Debian has none with Secure Boot and variables that are safe from the guest for aarch64.
    ///
    /// # Errors
    /// [`RunError::Firmware`] when there is none, with the package that has it; [`RunError::NoSecureBoot`] when no package has.
    pub fn find_kind(architecture: Architecture, kind: FirmwareKind) -> Result<Self, RunError> {
        let (candidates, package): (&[(&str, &str)], _) = match (architecture, kind) {
            (Architecture::X86_64, FirmwareKind::Open) => (&X86_64, "ovmf"),
            (Architecture::X86_64, FirmwareKind::SecureBoot) => (&X86_64_SECURE, "ovmf"),
            (Architecture::Aarch64, FirmwareKind::Open) => (&AARCH64, "qemu-efi-aarch64"),
            (Architecture::Aarch64, FirmwareKind::SecureBoot) => return Err(RunError::NoSecureBoot),
        };
        let there =
            |(code, variables): &&(&str, &str)| Path::new(code).exists() && Path::new(variables).exists();
        candidates
            .iter()
            .find(there)
            .map(|(code, variables)| Self {
                kind,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_secure_boot_is_refused_with_what_to_leave_out() {
        let error = Firmware::find_kind(Architecture::Aarch64, FirmwareKind::SecureBoot).unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("leave out --secure-boot"), "{help}");
    }
}
