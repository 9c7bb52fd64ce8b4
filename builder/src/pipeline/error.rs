//! Why a build failed, beside what its parts say.

use std::{io, path::PathBuf};

use outcrop_release::{arch::Architecture, cmdline, digest::FileDigest};

use crate::failure::FailureClass;

/// Why a build failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PipelineError {
    /// An architecture that the recipe doesn't build for.
    #[error("the recipe {} isn't for {architecture}", recipe.display())]
    #[diagnostic(help(
        "add {architecture} to image.architectures and run `outcrop lock`, or leave out --arch {architecture}"
    ))]
    NotInRecipe {
        /// The recipe.
        recipe: PathBuf,
        /// What --arch asked for.
        architecture: Architecture,
    },
    /// The kernel command line.
    #[error("write the kernel command line")]
    #[diagnostic(help("kernel.command-line in the recipe adds options"))]
    CommandLine(#[from] cmdline::BuildError),
    /// A boot loader or stub isn't where its package has it.
    #[error("read /{path} of the package {package}")]
    #[diagnostic(help("the lock must hold {package} for the image's architecture: run `outcrop lock`"))]
    Loader {
        /// Path in the package.
        path: String,
        /// The package.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nobody says where the device's programs are.
    #[error("find the device's static programs: there is no folder device-programs beside this program")]
    #[diagnostic(help("build them with `cargo xtask device`, and name their folder with --device-programs"))]
    NoPrograms,
    /// A program of the device can't be read.
    #[error("read the device's program {}", path.display())]
    #[diagnostic(help("build it with `cargo xtask device`, and name its folder with --device-programs"))]
    NoProgram {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of the device isn't one.
    #[error("{} can't run on a device of {architecture}: {why}", path.display())]
    #[diagnostic(help("build it with `cargo xtask device`"))]
    Program {
        /// The file.
        path: PathBuf,
        /// What it should be for.
        architecture: Architecture,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file from elsewhere isn't the one that the recipe means.
    #[error("the SHA-256 of {} is {actual}, and the recipe says {expected}", path.display())]
    #[diagnostic(help(
        "if the file is the right one, correct `sha256` in the recipe; a damaged one in the cache can be removed"
    ))]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the recipe says.
        expected: FileDigest,
        /// What it has.
        actual: FileDigest,
    },
    /// A program from elsewhere can't run in the image.
    #[error("{} can't run on a device of {architecture}: {why}", path.display())]
    #[diagnostic(help("name the program for this architecture in `[kubernetes.binary.{architecture}]`"))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should be for.
        architecture: Architecture,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file that the recipe takes from beside it.
    #[error("there is no {}, which the recipe gives as {what}", path.display())]
    #[diagnostic(help("put it there, or change the recipe's `file`"))]
    Absent {
        /// What it is, for people.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of the output folder or the cache.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("choose a folder that you may write to, with space left: --output, --cache-dir"))]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl PipelineError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NotInRecipe { .. }
            | Self::CommandLine(_)
            | Self::Digest { .. }
            | Self::Foreign { .. }
            | Self::Absent { .. } => FailureClass::Input,
            Self::Loader { .. } => FailureClass::Package,
            Self::NoPrograms | Self::NoProgram { .. } | Self::Program { .. } | Self::File { .. } => {
                FailureClass::Environment
            }
        }
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
