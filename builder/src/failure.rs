//! Failures, by what the user can do about them. `docs/exit-codes.md` has the table.

/// What kind of failure ended a command; each has its exit code. 2 is left to wrong command-line usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Anything that fits nowhere else.
    Other,
    /// A recipe, lock, image or argument says something that can't be done: edit it.
    Input,
    /// The network or a mirror failed: try again, or use another mirror.
    Network,
    /// The build machine lacks something: space, permission, a tool.
    Environment,
    /// A package can't go into an image as it is: a script nobody reviewed, a conflict, a malformed archive.
    Package,
    /// The user asked to stop, by Ctrl-C or SIGTERM.
    Interrupted,
}

impl FailureClass {
    /// All of them, by exit code.
    pub const ALL: [Self; 6] = [
        Self::Other,
        Self::Input,
        Self::Network,
        Self::Environment,
        Self::Package,
        Self::Interrupted,
    ];

    /// The class's name in errors for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Input => "input",
            Self::Network => "network",
            Self::Environment => "environment",
            Self::Package => "package",
            Self::Interrupted => "interrupted",
        }
    }

    /// What the class means and what to do, in Markdown.
    #[cfg(test)]
    const fn meaning(self) -> &'static str {
        match self {
            Self::Other => "The command's own verdict, and anything that fits nowhere else.",
            Self::Input => "A recipe, lock, image or argument says something that can't be done: edit it.",
            Self::Network => "The network or a mirror failed: try again, or use another mirror (`--mirror`).",
            Self::Environment => {
                "The build machine lacks something: space, a permission, a tool. The error names it."
            }
            Self::Package => {
                "A package can't go into an image as it is: a script that nobody reviewed, a conflict, a \
                 malformed archive."
            }
            Self::Interrupted => {
                "Ctrl-C or SIGTERM. Nothing half-written is left, what was fetched stays in the cache. A \
                 second Ctrl-C ends the process at once, and may leave `.outcrop-*` files in the output folder: the next build that writes \
                 there removes them."
            }
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Input => 3,
            Self::Network => 4,
            Self::Environment => 5,
            Self::Package => 6,
            Self::Interrupted => 130,
        }
    }

    /// The class of an I/O error on the build machine.
    #[must_use]
    pub const fn of_io(_: &std::io::Error) -> Self {
        Self::Environment
    }
}

/// The text of `docs/exit-codes.md`.
#[cfg(test)]
fn table() -> String {
    let mut text = "<!-- Generated from builder/src/failure.rs: `OUTCROP_WRITE_DOCS=1 cargo test -p outcrop-builder --lib \
                    docs` writes it. -->\n\n# Exit codes of `outcrop`\n\nCommands with `--json` write a failure as one \
                    JSON object to standard error: `error` has `class`, `exit-code`, `message`, and, where there are \
                    any, `causes`, `help` and `problems` (each with `message`, `file`, `line`, `column`, \
                    `help`).\n\n| code | class | meaning |\n|---|---|---|\n| 0 | | The command did what was asked. \
                    |\n| 2 | | Wrong usage: unknown option or missing argument. Nothing was done. |\n"
        .to_owned();
    for class in FailureClass::ALL {
        text += &format!(
            "| {} | `{}` | {} |\n",
            class.exit_code(),
            class.name(),
            class.meaning()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_exit_codes_md_lists_every_class_by_rising_code() {
        assert!(FailureClass::ALL.is_sorted_by(|a, b| a.exit_code() < b.exit_code()));
        crate::generated_docs::assert_generated("docs/exit-codes.md", &table());
    }
}
