//! The compressed kernel inside of x86_64's boot payload: where it lies, unpacking it, and packing it to the same bytes again.
//!
//! A patch between two compressed kernels is as long as the kernel; one between what is in them is half of that. So the builder
//! tries to repack each release's kernel ([`prove`]); where that gives the same bytes, a device with the memory for it
//! ([`Recipe::memory_bytes`]) unpacks its old kernel, patches it, and repacks the result. What it gets is still foreign bytes: whoever
//! writes it anywhere checks its digest first. ADR 0016 has the figures.
//!
//! aarch64's kernel isn't compressed in the boot payload: it needs none of this.

mod find;
mod frame;
mod pack;
mod prove;
mod recipe;
#[cfg(test)]
mod tests;
mod unpack;

pub use find::{FindError, PackedKernel};
pub use frame::{FrameError, FrameHeader};
pub use pack::{PackError, Packer};
pub use prove::prove;
pub use recipe::{Level, Method, Recipe, RecipeError};
pub use unpack::{PlainLen, UnpackError, unpack};

/// Longest compressed kernel, in bytes: it lies in a boot payload, and that has at most 64 MiB.
pub const MAX_PACKED_BYTES: u64 = 64 << 20;
/// Longest kernel that is unpacked, in bytes. Debian's has 58 MB.
pub const MAX_PLAIN_BYTES: u32 = 128 << 20;
