//! The kernel: its image is taken out of the tree, its modules are selected, unpacked and indexed.

use crate::tree::Content;

/// The kernel of an image, for the boot payload.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    /// Its release, as `uname -r` says it.
    pub version: String,
    /// The kernel image, as Debian ships it.
    pub image: Content,
}
