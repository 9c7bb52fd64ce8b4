//! What a boot payload says about itself, whatever its form.

use outcrop_release::arch::Architecture;

use super::uki::UkiFacts;

/// What a boot payload says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFacts {
    /// What it runs on.
    pub architecture: Architecture,
    /// The release's os-release(5).
    pub os_release: String,
    /// The kernel command line.
    pub command_line: String,
    /// The kernel's release.
    pub uname: String,
    /// Length without padding at the end, in bytes.
    pub len: u64,
}

impl From<UkiFacts> for PayloadFacts {
    fn from(uki: UkiFacts) -> Self {
        Self {
            architecture: uki.architecture,
            os_release: uki.os_release,
            command_line: uki.command_line,
            uname: uki.uname,
            len: uki.len,
        }
    }
}
