//! What the user sees: progress, errors, colours; and what the user says: Ctrl-C.

pub mod ask;
pub mod bars;
pub mod report;
pub mod signals;

use std::{ffi::OsString, io::IsTerminal as _};

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How much is told about the work. Results and errors are always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// Phases that take more than a second.
    Normal,
    /// Every phase.
    Verbose,
}

/// What standard error can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Someone looks at it: bars may move.
    pub terminal: bool,
    /// Escape sequences for colours.
    pub color: bool,
    /// Characters beyond ASCII.
    pub unicode: bool,
}

impl Abilities {
    /// Those of this process's standard error.
    #[must_use]
    pub fn of_stderr(color: Color) -> Self {
        Self::new(color, std::io::stderr().is_terminal(), |name| {
            std::env::var_os(name)
        })
    }

    /// Follows <https://no-color.org>: any text in `NO_COLOR` turns colours off, unless the command line says
    /// otherwise. The locale decides about Unicode on a terminal; files are UTF-8.
    fn new(color: Color, terminal: bool, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(set)
            .unwrap_or_default();
        let locale = locale.to_string_lossy().to_uppercase();
        Self {
            terminal: terminal && !dumb,
            color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !dumb && set("NO_COLOR").is_none(),
            },
            unicode: !terminal || locale.contains("UTF-8") || locale.contains("UTF8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(color: Color, terminal: bool, variables: &[(&str, &str)]) -> bool {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        };
        Abilities::new(color, terminal, environment).color
    }

    #[test]
    fn colours_need_a_terminal_and_no_no_color_unless_asked_for() {
        let term = ("TERM", "xterm");
        assert!(color(Color::Auto, true, &[term]));
        assert!(color(Color::Auto, true, &[term, ("NO_COLOR", "")]));
        assert!(!color(Color::Auto, true, &[term, ("NO_COLOR", "1")]));
        assert!(!color(Color::Auto, false, &[term]));
        assert!(!color(Color::Auto, true, &[("TERM", "dumb")]));
        assert!(color(Color::Always, false, &[("NO_COLOR", "1")]));
        assert!(!color(Color::Never, true, &[term]));
    }
}
