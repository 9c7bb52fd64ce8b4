//! What an installation costs, known before its first byte.

use std::ops::Add;

/// Bytes that an installation moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// To fetch, compressed.
    pub fetch: u64,
    /// To copy from the active slot.
    pub copy: u64,
    /// To write to the inactive slot; what was copied is among them.
    pub write: u64,
    /// In place already.
    pub keep: u64,
}

/// More would be fetched than is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the installation would fetch {needed} bytes, {allowed} are allowed")]
pub struct OverBudget {
    /// What it would fetch.
    pub needed: u64,
    /// What it may.
    pub allowed: u64,
}

impl Cost {
    /// Refuses what would fetch more than `allowed` bytes.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub const fn within(&self, allowed: u64) -> Result<(), OverBudget> {
        if self.fetch <= allowed {
            return Ok(());
        }
        Err(OverBudget {
            needed: self.fetch,
            allowed,
        })
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            fetch: self.fetch + other.fetch,
            copy: self.copy + other.copy,
            write: self.write + other.write,
            keep: self.keep + other.keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_what_may_be_fetched_at_most() {
        let cost = Cost {
            fetch: 100,
            ..Cost::default()
        };
        assert_eq!(cost.within(100), Ok(()));
        let error = cost.within(99).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the installation would fetch 100 bytes, 99 are allowed"
        );
    }
}
