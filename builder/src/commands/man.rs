//! `outcrop man`: the manual pages, into a folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use super::Context;
use crate::{error::Error, failure::FailureClass, output::replace_file};

/// Why a manual page isn't there.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("write {}", path.display())]
#[diagnostic(help("name a folder that you may write to, with space left"))]
pub struct ManError {
    path: PathBuf,
    source: io::Error,
}

impl ManError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        FailureClass::of_io(&self.source)
    }
}

/// Writes a page for `command` and each of its subcommands to `folder`, which is made if needed.
///
/// # Errors
/// When the folder or a page can't be written.
pub fn run(folder: &Path, command: clap::Command, context: &Context) -> Result<(), Error> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        |source| ManError { path, source }
    };
    std::fs::create_dir_all(folder).map_err(fail(folder))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    for (name, page) in pages(&command) {
        let path = folder.join(name);
        replace_file(&path, &page).map_err(fail(&path))?;
        context.summarize(format_args!("{}\n", path.display()))?;
    }
    Ok(())
}

/// File name and text of each page: the command's, and those of all below it.
fn pages(command: &clap::Command) -> Vec<(String, Vec<u8>)> {
    let page = |command: &clap::Command| {
        let man = clap_mangen::Man::new(command.clone());
        let mut text = Vec::new();
        // Writing to memory can't fail.
        let _infallible = man.render(&mut text);
        (man.get_filename(), text)
    };
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    std::iter::once(page(command))
        .chain(below.flat_map(pages))
        .collect()
}
