//! Reads a disk image, or a disk, back: what `outcrop inspect` shows, and where everything lies.

mod image;
mod slot;
#[cfg(test)]
mod tests;

pub use image::{DiskImage, DiskReadError};
pub use slot::{BootFacts, RootFacts, SlotFacts};
