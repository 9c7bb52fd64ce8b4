//! The locks that the pairs are made of, all of one day.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    failed,
    fixtures::{Release, recipe_text, write},
};
use crate::{error::Error, shell};

/// Locks below `folder`, made when they are not there. The trust file that their recipes name lies beside it.
pub(super) struct Locks<'a> {
    pub(super) outcrop: &'a Path,
    pub(super) folder: PathBuf,
}

impl Locks<'_> {
    /// The suite's last point release alone.
    pub(super) fn point_release(&self) -> Result<String, Error> {
        self.of("point-release", &Release::default(), |recipe| {
            let mut command = Command::new(self.outcrop);
            command.args(["lock", "--point-release"]).arg(recipe);
            Ok(command)
        })
    }

    /// What devices get today.
    pub(super) fn today(&self) -> Result<String, Error> {
        self.of("today", &Release::default(), |recipe| {
            let mut command = Command::new(self.outcrop);
            command.arg("lock").arg(recipe);
            Ok(command)
        })
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn of(
        &self,
        name: &str,
        release: &Release,
        locker: impl Fn(&Path) -> Result<Command, Error>,
    ) -> Result<String, Error> {
        let recipe = self.folder.join(name).join("edge.toml");
        let lock = recipe.with_extension("lock");
        if !lock.exists() {
            write(
                &recipe,
                recipe_text(release, "1.0.0", &self.folder.with_file_name("trust.toml")),
            )?;
            shell::run(&mut locker(&recipe)?)?;
        }
        fs::read_to_string(&lock).map_err(failed("read", &lock))
    }
}
