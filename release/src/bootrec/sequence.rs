//! Which of two records is newer.

/// Number of a record: each write has the next one. It wraps around, so order is that of serial numbers: a number is newer
/// than another if it is less than 2³¹ steps ahead. Source: RFC 1982, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this number comes after `other`.
    #[must_use]
    pub const fn is_newer_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_after_the_largest_is_zero_and_newer() {
        let last = Sequence(u32::MAX);
        assert_eq!(last.next(), Sequence(0));
        assert!(last.next().is_newer_than(last) && !last.is_newer_than(last.next()));
        assert!(!last.is_newer_than(last));
    }
}
