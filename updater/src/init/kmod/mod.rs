//! Kernel modules: what every machine needs, and what the hardware asks for.

mod index;
mod kernel;
mod pattern;

use std::{collections::BTreeSet, io, sync::Arc};

pub use index::{Load, ModuleIndex, ModuleName};
pub use kernel::{ModuleFolder, ModuleFolderError};
pub use pattern::matches;

/// Loaded on every machine. All of them are in `images/efi/initramfs-modules.txt`.
pub const ALWAYS: [&str; 4] = ["dm-verity", "erofs", "overlay", "ext4"];

/// What the kernel does for us: takes a module.
pub trait Loader {
    /// Loads the module in the file at `path`, relative to the modules' folder; it is no error if it is loaded already.
    ///
    /// # Errors
    /// The kernel's or file system's, as they are.
    fn load(&mut self, path: &str) -> io::Result<()>;
}

/// A module that every machine needs couldn't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It isn't there.
    #[error("kernel module {0} is neither in the initramfs nor built into the kernel")]
    Missing(ModuleName),
    /// The kernel doesn't take it.
    #[error("load kernel module {path}")]
    Load {
        /// Its file.
        path: String,
        /// What the kernel says.
        source: io::Error,
    },
}

/// The kernel's modules: which there are, and which have been tried. Several may work at a time: the kernel takes a module
/// once and lets the second wait for the first.
#[derive(Debug)]
pub struct Modules<L> {
    index: Arc<ModuleIndex>,
    loader: L,
    tried: BTreeSet<ModuleName>,
}

impl<L: Loader> Modules<L> {
    /// Nothing is loaded yet.
    pub const fn new(index: Arc<ModuleIndex>, loader: L) -> Self {
        Self {
            index,
            loader,
            tried: BTreeSet::new(),
        }
    }

    /// What loads them.
    pub const fn loader(&self) -> &L {
        &self.loader
    }

    /// Loads module `name` and what it needs.
    ///
    /// # Errors
    /// When it is nowhere, or it or one that it can't do without isn't taken.
    pub fn require(&mut self, name: &str) -> Result<(), ModuleError> {
        let name = ModuleName::new(name);
        let loads = self.index.closure(&name);
        if loads.is_empty() && !self.index.is_builtin(&name) {
            return Err(ModuleError::Missing(name));
        }
        self.load_all(loads)
    }

    /// Loads what the device `modalias` asks for. Returns the modules that failed, each with the reason, to be
    /// reported: a device that doesn't work is no reason to stop, it may not be the boot disk.
    pub fn load_for(&mut self, modalias: &str) -> Vec<ModuleError> {
        let mut failed = Vec::new();
        for name in self.index.for_alias(modalias) {
            if !self.tried.contains(&name) {
                failed.extend(self.load_all(self.index.closure(&name)).err());
            }
        }
        failed
    }

    fn load_all(&mut self, loads: Vec<Load>) -> Result<(), ModuleError> {
        for Load { name, path, needed } in loads {
            if !self.tried.insert(name) {
                continue;
            }
            match self.loader.load(&path) {
                Err(source) if needed => return Err(ModuleError::Load { path, source }),
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Whether the kernel's answer means "not for this machine": a module that drives an optional feature of the processor
/// says so when the processor lacks it.
#[must_use]
pub fn is_absent_hardware(error: &ModuleError) -> bool {
    matches!(error, ModuleError::Load { source, .. }
        if source.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct FakeLoader {
        calls: Vec<String>,
        refuses: Vec<&'static str>,
    }

    impl Loader for FakeLoader {
        fn load(&mut self, path: &str) -> io::Result<()> {
            self.calls.push(path.to_owned());
            if self.refuses.contains(&path) {
                return Err(rustix::io::Errno::NODEV.into());
            }
            Ok(())
        }
    }

    fn modules(refuses: Vec<&'static str>) -> Modules<FakeLoader> {
        let index = ModuleIndex::parse(
            "ext4.ko: jbd2.ko\njbd2.ko:\ncrc.ko:\n",
            "alias crc crc\nalias pci:* ext4\n",
            "softdep ext4 pre: crc\n",
            "kernel/erofs.ko\n",
        );
        let calls = Vec::new();
        Modules::new(index.into(), FakeLoader { calls, refuses })
    }

    #[test]
    fn each_module_is_given_to_the_kernel_once_and_after_what_it_needs() {
        let mut modules = modules(vec![]);
        modules.require("ext4").unwrap();
        assert!(modules.load_for("pci:v1").is_empty());
        assert_eq!(modules.loader.calls, ["crc.ko", "jbd2.ko", "ext4.ko"]);
    }

    #[test]
    fn a_soft_dependency_that_fails_doesnt_stop_the_module() {
        let mut modules = modules(vec!["crc.ko"]);
        modules.require("ext4").unwrap();
        assert_eq!(modules.loader.calls.last().unwrap(), "ext4.ko");
    }

    #[test]
    fn a_hard_dependency_that_fails_is_named() {
        let mut modules = modules(vec!["jbd2.ko"]);
        let error = modules.require("ext4").unwrap_err();
        assert_eq!(error.to_string(), "load kernel module jbd2.ko");
        assert!(is_absent_hardware(&error));
    }

    #[test]
    fn a_module_inside_the_kernel_is_fine_one_that_is_nowhere_is_not() {
        let mut modules = modules(vec![]);
        modules.require("erofs").unwrap();
        let error = modules.require("dm-verity").unwrap_err();
        assert!(error.to_string().contains("dm_verity"));
        assert!(modules.loader.calls.is_empty());
    }

    #[test]
    fn a_device_whose_module_fails_is_reported_and_the_rest_goes_on() {
        let mut modules = modules(vec!["ext4.ko"]);
        assert_eq!(modules.load_for("pci:v1").len(), 1);
        assert!(modules.load_for("pci:v2").is_empty(), "tried once only");
    }
}
