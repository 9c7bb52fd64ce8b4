//! Unified kernel images: systemd-stub with kernel, initramfs and command line attached as sections.
//!
//! Source: UAPI "Unified Kernel Image"; systemd-stub(7).

mod build;
mod checksum;
mod read;

pub(crate) use checksum::pe_checksum;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod objdump;

pub use build::{Uki, UkiError};
pub use read::{UkiFacts, UkiReadError};
