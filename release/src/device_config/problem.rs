//! What is wrong with a `device.toml`, and where.

use std::{fmt, ops::Range};

/// Most problems of one kind that are told of a file: what has more is no configuration, and a console is slow.
pub(super) const MOST: usize = 20;

/// One thing that is wrong. Its words never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What, and what to write instead.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// The bytes that are meant.
    pub span: Range<usize>,
}

impl Problem {
    pub(super) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            message: message.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// A `device.toml` that can't be used: everything that is wrong with it, in the file's order; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(Vec<Problem>);

impl ConfigProblems {
    /// None when there is nothing wrong.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.span.start);
        problems.truncate(3 * MOST);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// For the file as a whole.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self(vec![Problem::new("", 0..0, message)])
    }

    /// The problems.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
