//! What can be wrong with a recipe, told with the lines that are meant.

use std::{fmt, io, path::PathBuf, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::source::Location;
use crate::failure::FailureClass;

/// One thing that is wrong, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Problem {
    message: String,
    label: String,
    help: Option<String>,
    location: Option<Location>,
    source: Option<NamedSource<Arc<String>>>,
}

impl Problem {
    /// A problem of the recipe as a whole.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            label: "here".to_owned(),
            help: None,
            location: None,
            source: None,
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.source = Some(location.named_source());
        self.location = Some(location);
        self
    }

    /// The words under the marked text; "here" unless set.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong, without place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is wrong, when it is one place.
    #[must_use]
    pub const fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.location.as_ref()?.source_span();
        let label = LabeledSpan::new_primary_with_span(Some(self.label.clone()), span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RecipeError {
    /// The file can't be read.
    #[error("read the recipe {}", path.display())]
    #[diagnostic(help("`outcrop new NAME` writes a recipe to start from"))]
    Read {
        /// The recipe as the user named it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The recipe says something that can't be. All problems that were found are in the list.
    #[error("the recipe {} has {} to solve", path.display(), count(problems.len()))]
    Invalid {
        /// The recipe as the user named it.
        path: PathBuf,
        /// At least one.
        #[related]
        problems: Vec<Problem>,
    },
    /// A file or folder that the recipe names can't be read, or can't be in an image.
    #[error("read {}, which the recipe names", path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RecipeError {
    /// What the user can do.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Read { .. } | Self::Invalid { .. } => FailureClass::Input,
            Self::Content { source, .. } => FailureClass::of_io(source),
        }
    }

    /// The problems of an invalid recipe; empty for other errors.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            Self::Read { .. } | Self::Content { .. } => &[],
        }
    }
}

fn count(problems: usize) -> String {
    match problems {
        1 => "one problem".to_owned(),
        more => format!("{more} problems"),
    }
}
