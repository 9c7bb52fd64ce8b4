//! A recipe together with the places where it says what, for errors that show up later.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use outcrop_release::arch::Architecture;

use super::{
    convert, include,
    problem::{Problem, RecipeError},
    schema::Recipe,
    source::{Location, SourceFile},
};
use crate::tree::TreePath;

/// Something that a recipe says in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// An item of `image.architectures`.
    Architecture(Architecture),
    /// `base.suite`.
    Suite,
    /// An item of `base.components`.
    Component(String),
    /// An item of `packages.install`.
    Package(String),
    /// An item of `packages.accept-scripts`.
    AcceptedScript(String),
    /// `kernel.package.ARCH`.
    KernelPackage(Architecture),
    /// An item of `kernel.initramfs-modules`.
    KernelModule(String),
    /// The `path` of a file.
    File(TreePath),
    /// An item of `overlays`, by its absolute path.
    Overlay(PathBuf),
    /// The name of a user.
    User(String),
    /// An item of a user's `groups`; the last user that names it.
    Group(String),
    /// A unit in one of the lists of `[services]`.
    Service(String),
    /// `kubernetes.binary.ARCH`.
    KubernetesBinary(Architecture),
    /// `[secure-boot]`.
    SecureBoot,
    /// `disk.root-slot`.
    RootSlot,
    /// `disk.boot-slot`.
    BootSlot,
    /// `disk.data`.
    Data,
}

/// Where a recipe says what.
pub(super) type Locations = BTreeMap<Item, Location>;

/// A recipe that was read from files.
#[derive(Debug)]
pub struct LoadedRecipe {
    /// The recipe, merged and checked.
    pub recipe: Recipe,
    path: PathBuf,
    files: Vec<Arc<SourceFile>>,
    locations: Locations,
}

/// Reads the recipe at `path` and everything that it includes.
///
/// # Errors
/// When it can't be read, or says something that can't be: then with all problems that were found.
pub fn load(path: &Path) -> Result<LoadedRecipe, RecipeError> {
    finish(path, include::read(path)?)
}

/// Like [`load`], with `text` in place of the file at `path`.
///
/// # Errors
/// As for [`load`].
pub fn parse(path: &Path, text: &str) -> Result<LoadedRecipe, RecipeError> {
    finish(path, include::read_text(path, text))
}

fn finish(path: &Path, merged: include::Merged) -> Result<LoadedRecipe, RecipeError> {
    let mut problems = merged.problems;
    if !merged.unreadable {
        // else: what the missing part says would only be reported as missing
        match convert::convert(&merged.table, &merged.files) {
            Ok((recipe, locations)) if problems.is_empty() => {
                return Ok(LoadedRecipe {
                    recipe,
                    path: path.to_owned(),
                    files: merged.files,
                    locations,
                });
            }
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
    }
    problems.sort_by_cached_key(|problem| place(problem, &merged.files));
    Err(RecipeError::Invalid {
        path: path.to_owned(),
        problems,
    })
}

/// Sorts problems by file and place; those of the whole recipe come last.
fn place(problem: &Problem, files: &[Arc<SourceFile>]) -> (usize, usize) {
    problem.location().map_or((usize::MAX, 0), |location| {
        let file = files
            .iter()
            .position(|file| std::ptr::eq(file.as_ref(), location.file()));
        (file.unwrap_or(usize::MAX), location.span().start)
    })
}

impl LoadedRecipe {
    /// The main file, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files that the recipe consists of, the main one last.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Where the recipe says `item`; none when it holds by default.
    #[must_use]
    pub fn locate(&self, item: &Item) -> Option<&Location> {
        self.locations.get(item)
    }

    /// A problem with `item` that only later work could find, shown where the recipe says it.
    #[must_use]
    pub fn problem(&self, item: &Item, message: impl Into<String>) -> Problem {
        let problem = Problem::new(message);
        match self.locate(item) {
            Some(location) => problem.at(location.clone()),
            None => problem,
        }
    }

    /// The error for `problems` that only later work could find; there must be at least one.
    #[must_use]
    pub fn invalid(&self, problems: Vec<Problem>) -> RecipeError {
        RecipeError::Invalid {
            path: self.path.clone(),
            problems,
        }
    }
}
