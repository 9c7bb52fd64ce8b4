//! What the finish step hands on.

use std::collections::BTreeMap;

use super::kernel::KernelFiles;
use crate::tree::{Tree, TreePath};

/// A root file system that boots, and what the boot payload needs from it.
#[derive(Debug)]
pub struct Finished {
    /// The root file system.
    pub tree: Tree,
    /// The kernel, taken out of the tree: it goes into the boot payload.
    pub kernel: KernelFiles,
    /// What the build tells about it.
    pub report: Report,
}

/// Facts that are worth a line in a build's summary or a line in `outcrop inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Bytes of file content that each package has left in the tree, largest first.
    pub package_bytes: Vec<(String, u64)>,
    /// Files with setuid or setgid bits or file capabilities, by path: what an auditor looks at first.
    pub privileged: Vec<(TreePath, Privilege)>,
    /// Units that start at boot: the links that were made, `WANTING/UNIT`, sorted.
    pub enabled: Vec<String>,
    /// Units that can't be started.
    pub masked: Vec<String>,
    /// Name to number of every account and group that packages or the recipe brought.
    pub accounts: BTreeMap<String, u32>,
}

/// Why a file is privileged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privilege {
    /// Its permission bits, with setuid or setgid among them, and owner and group.
    Bits {
        /// Low 12 bits of the mode.
        mode: u16,
        /// Numeric owner.
        uid: u32,
        /// Numeric group.
        gid: u32,
    },
    /// It has a `security.capability` attribute.
    Capabilities,
}
