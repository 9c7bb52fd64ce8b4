//! The pairs of releases that are measured, by name.

use serde::Serialize;

use crate::host::Arch;

/// An older release and a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pair {
    /// Debian's last point release, and today's with all security fixes
    #[value(name = "security-x86_64")]
    SecurityX86_64,
    /// The same for the other architecture
    SecurityAarch64,
    /// Today's release, before and after the fix of one small package alone
    Package,
    /// A program of 86 MB, a Kubernetes, of which a tenth has changed
    Kubernetes,
    /// The same kernel and modules under another version's name
    RenamedKernel,
    /// Nothing has changed but the image's own version
    Version,
    /// The release of Debian before this one, and today's
    Bookworm,
}

impl Pair {
    pub(super) const ALL: [Self; 7] = [
        Self::SecurityX86_64,
        Self::SecurityAarch64,
        Self::Package,
        Self::Kubernetes,
        Self::RenamedKernel,
        Self::Version,
        Self::Bookworm,
    ];

    /// Its name on the command line, and of its folder.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SecurityX86_64 => "security-x86_64",
            Self::SecurityAarch64 => "security-aarch64",
            Self::Package => "package",
            Self::Kubernetes => "kubernetes",
            Self::RenamedKernel => "renamed-kernel",
            Self::Version => "version",
            Self::Bookworm => "bookworm",
        }
    }

    pub(super) const fn arch(self) -> Arch {
        match self {
            Self::SecurityAarch64 => Arch::Aarch64,
            _ => Arch::X86_64,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_pairs_folder_has_the_name_that_the_command_line_takes() {
        for pair in Pair::ALL {
            let value = pair.to_possible_value().unwrap();
            assert_eq!(value.get_name(), pair.name());
        }
        assert_eq!(Pair::value_variants(), Pair::ALL);
    }
}
