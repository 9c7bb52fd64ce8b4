//! The initramfs: a `newc` cpio archive, compressed with zstd, the same bytes for the same members.

mod archive;
mod compress;
mod newc;

pub use archive::{Initramfs, InitramfsError};
