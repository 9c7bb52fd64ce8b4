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
