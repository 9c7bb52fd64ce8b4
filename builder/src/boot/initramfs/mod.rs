//! The initramfs: a `newc` cpio archive, the same bytes for the same members.

mod archive;
mod newc;

pub use archive::{Initramfs, InitramfsError};
