//! What the firmware starts: the initramfs, and the unified kernel image (UKI) or boot partition that holds it.

pub mod facts;
pub mod guard;
pub mod initramfs;
pub mod partition;
pub mod pe;
pub mod uki;
