//! Release bundles: written beside the image, read back and checked, signed again. Their form is `release`'s.

mod boot_signature;
mod cost;
mod cost_delta;
mod cuts;
mod error;
mod frames;
mod read;
mod sign;
#[cfg(test)]
mod tests;
mod write;

pub use cost::{Installed, OtherSlot, cost};
pub use error::BundleError;
pub use frames::Compression;
pub use read::{Bundle, BundledDelta, Checked};
pub use sign::add_signatures;
pub(crate) use sign::{Sequential, copy_member};
pub(crate) use write::Archive;
pub use write::{Contents, Payload, WrittenBundle, write};
