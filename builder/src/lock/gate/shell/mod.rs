//! Enough of the shell's language to read maintainer scripts: POSIX.1-2017, Shell Command Language, chapters 2.2 to 2.10.
//!
//! Nothing here runs anything. What the reader doesn't understand is an error, and the gate then shows the whole script.

pub(super) mod ast;
mod lexer;
mod parser;
mod parts;

pub(super) use parser::{assignment, parse};

/// Why a script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(super) struct ShellError {
    /// From 1.
    pub(super) line: usize,
    /// What was found there.
    pub(super) what: &'static str,
}
