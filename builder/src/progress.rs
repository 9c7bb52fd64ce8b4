//! What a long command tells while it works. The work reports to these traits; how it looks is `cli`'s business.

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
}

/// One running phase.
pub trait Phase: Send + Sync {
    /// `amount` more is done.
    fn advance(&self, amount: u64);

    /// The total is known now.
    fn set_total(&self, total: u64);
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
