//! The folder of the running kernel's modules, and the system call that loads one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{Loader, ModuleIndex};

/// The folder of the modules can't be used.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct ModuleFolderError {
    path: PathBuf,
    source: io::Error,
}

/// `/usr/lib/modules/RELEASE`
#[derive(Debug, Clone)]
pub struct ModuleFolder(PathBuf);

impl ModuleFolder {
    /// The folder of kernel `release` (as in `uname -r`) below `base`.
    #[must_use]
    pub fn new(base: &Path, release: &str) -> Self {
        Self(base.join(release))
    }

    /// Reads the tables. `modules.softdep` and `modules.builtin` may be missing.
    ///
    /// # Errors
    /// When a table is unreadable.
    pub fn index(&self) -> Result<ModuleIndex, ModuleFolderError> {
        let read = |name: &str| {
            let path = self.0.join(name);
            fs::read_to_string(&path).map_err(|source| ModuleFolderError { path, source })
        };
        let optional = |name| match read(name) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            result => result,
        };
        Ok(ModuleIndex::parse(
            &read("modules.dep")?,
            &read("modules.alias")?,
            &optional("modules.softdep")?,
            &optional("modules.builtin")?,
        ))
    }
}

impl Loader for ModuleFolder {
    fn load(&mut self, path: &str) -> io::Result<()> {
        let file = File::open(self.0.join(path))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
