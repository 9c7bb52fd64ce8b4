//! `outcrop flash`: an image on a card or disk.
//!
//! Half-flashed media never look bootable: what the medium began with is wiped first, and the image's own beginning, which has the partition
//! table, goes on last, after everything else is on the medium and was read back.

mod buffer;
mod bytes;
mod disks;
mod engine;
mod error;
mod pipe;
mod source;
mod table;
mod target;

pub use disks::{DiskFacts, Disks};
pub use engine::{Flash, Report, Verify};
pub use error::FlashError;
pub use source::{ImageSource, Sidecars, Trusted};
pub use target::{OpenTarget, Target};
