//! The files that a recipe consists of, and places in them.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{NamedSource, SourceSpan};

/// One recipe file with its text.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user or the including file names it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<String>,
}

impl SourceFile {
    /// The folder that relative paths in this file start from; empty for the working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }
}

/// A stretch of one recipe file. Text form: `FILE:LINE:COLUMN`, both counted from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    file: Arc<SourceFile>,
    span: Range<usize>,
}

impl Location {
    /// The bytes `span` of `file`; what lies past the text's end is cut off.
    #[must_use]
    pub fn new(file: Arc<SourceFile>, span: Range<usize>) -> Self {
        let end = span.end.min(file.text.len());
        Self {
            span: span.start.min(end)..end,
            file,
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &SourceFile {
        &self.file
    }

    /// The bytes of the file that are meant.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line and column of the first character, both from 1.
    #[must_use]
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = String::from_utf8_lossy(&self.file.text.as_bytes()[..self.span.start]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    pub(super) fn named_source(&self) -> NamedSource<Arc<String>> {
        NamedSource::new(self.file.path.display().to_string(), Arc::clone(&self.file.text))
            .with_language("TOML")
    }

    pub(super) fn source_span(&self) -> SourceSpan {
        self.span.clone().into()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_and_column();
        write!(f, "{}:{line}:{column}", self.file.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str, span: Range<usize>) -> Location {
        let file = SourceFile {
            path: "a.toml".into(),
            text: Arc::new(text.to_owned()),
        };
        Location::new(Arc::new(file), span)
    }

    #[test]
    fn lines_and_columns_count_from_one_and_columns_are_characters() {
        assert_eq!(location("ab", 0..1).to_string(), "a.toml:1:1");
        assert_eq!(location("é = 1\nü = 2", 10..11).to_string(), "a.toml:2:3");
    }

    #[test]
    fn a_span_past_the_end_is_the_end() {
        assert_eq!(location("ab\n", 7..9).to_string(), "a.toml:2:1");
    }
}
