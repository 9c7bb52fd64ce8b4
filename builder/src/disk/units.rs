//! Lengths and places in an image.

use std::fmt;

pub use outcrop_release::units::{Extent, MIB, SECTOR};

/// A length in bytes that is shown in MiB, rounded up, as a recipe writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mib(pub u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0.div_ceil(MIB))
    }
}
