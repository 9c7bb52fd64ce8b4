//! What the firmware starts: the initramfs, and the unified kernel image (UKI) that holds it.

pub mod guard;
pub mod initramfs;
pub mod pe;
pub mod uki;
