//! The processor architectures that images exist for, and what each is called where.

use std::{fmt, str::FromStr};

use uuid::{Uuid, uuid};

/// Processor architecture of an image. Text form: `x86_64` or `aarch64`, as in `uname -m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86 with UEFI.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// A text that names no supported architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {0:?}: known are x86_64 and aarch64")]
pub struct UnknownArchitecture(pub String);

impl Architecture {
    /// All of them, in the order in which they are listed and built.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name that the kernel, Rust and file names use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name for the architecture.
    #[must_use]
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The multiarch folder below `/usr/lib`.
    /// Source: Debian, multiarch specification ("tuples").
    #[must_use]
    pub const fn multiarch(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// The suffix that UEFI gives file names of this architecture (`BOOTX64.EFI`, `linuxx64.efi.stub`), lower case.
    /// Source: UEFI specification 2.10, section 3.5.1.1.
    #[must_use]
    pub const fn efi(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
        }
    }

    /// GPT type of a root partition. Source: UAPI Discoverable Partitions Specification.
    #[must_use]
    pub const fn root_type(self) -> Uuid {
        match self {
            Self::X86_64 => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            Self::Aarch64 => uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
        }
    }

    /// GPT type of a root partition's verity tree. Source: UAPI Discoverable Partitions Specification.
    #[must_use]
    pub const fn verity_type(self) -> Uuid {
        match self {
            Self::X86_64 => uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
            Self::Aarch64 => uuid!("df3300ce-d69f-4c92-978c-9bfb0f38d820"),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, UnknownArchitecture> {
        Self::ALL
            .into_iter()
            .find(|arch| arch.as_str() == text)
            .ok_or_else(|| UnknownArchitecture(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_survives_its_text_form() {
        for arch in Architecture::ALL {
            assert_eq!(arch.to_string().parse(), Ok(arch));
        }
    }

    #[test]
    fn debians_name_is_refused_with_the_known_ones() {
        let error = "amd64".parse::<Architecture>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown architecture \"amd64\": known are x86_64 and aarch64"
        );
    }
}
