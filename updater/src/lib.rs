//! Outcrop's programs on the device: `outcrop-init`, PID 1 of the initramfs, and `outcrop-updater`.

pub mod boot_report;
pub mod chain;
pub mod cli;
pub mod disk;
pub mod facts;
pub mod gpt;
pub mod grow;
pub mod init;
pub mod install;
pub mod os_release;
pub mod record;
pub mod status;
