//! Outcrop's programs on the device: `outcrop-init`, PID 1 of the initramfs, and `outcrop-updater`.

pub mod chain;
pub mod facts;
pub mod init;
