//! What a long command tells while it works, and how it hears that it shall stop. The work reports to these traits;
//! how it looks is `terminal`'s business.
//!
//! The first Ctrl-C (or SIGTERM) only sets a flag. Loops over packages or pieces of at most some megabytes ask
//! [`Progress::checkpoint`] or [`Phase::checkpoint`] and return [`Cancelled`], so destructors remove partial files. It
//! turns into an [`std::io::Error`], so an I/O loop says `phase.checkpoint()?`. The second Ctrl-C ends the process at
//! once. `main` looks at the flag too: whatever error comes up after Ctrl-C, the exit code is 130.

/// The user asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// The kind is not `Interrupted`, which loops over reads repeat.
impl From<Cancelled> for std::io::Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::other(cancelled)
    }
}

/// What a phase counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things of the phase's own kind: packages, files, checks.
    Items,
}

/// Where work reports its phases. Shared between threads.
pub trait Progress: Send + Sync {
    /// Begins a phase. `name` is a verb phrase ("fetch packages"); `total` is none when nobody can know it.
    /// Dropping the returned value ends the phase.
    fn phase(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Phase>;

    /// Tells one line that is worth keeping in the terminal's history.
    fn note(&self, line: &str);

    /// Call it in every loop that may run for longer than a fraction of a second.
    ///
    /// # Errors
    /// When the user asked to stop.
    fn checkpoint(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}

/// One running phase.
pub trait Phase: Send + Sync {
    /// `amount` more is done.
    fn advance(&self, amount: u64);

    /// The total is known now.
    fn set_total(&self, total: u64);

    /// See [`Progress::checkpoint`].
    ///
    /// # Errors
    /// When the user asked to stop.
    fn checkpoint(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}

/// Says nothing: for tests and `--quiet`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Phase> {
        Box::new(Self)
    }

    fn note(&self, _: &str) {}
}

impl Phase for Silent {
    fn advance(&self, _: u64) {}

    fn set_total(&self, _: u64) {}
}
