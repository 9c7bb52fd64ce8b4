//! Outcrop's programs on the device: `outcrop-init`, PID 1 of the initramfs, and `outcrop-updater`.

pub mod attest;
pub mod block_disk;
pub mod boot_control;
pub mod boot_partition;
pub mod boot_report;
pub mod chain;
pub mod channel;
pub mod cli;
pub mod commands;
pub mod device;
pub mod device_config;
pub mod device_key;
pub mod disk;
pub mod durable;
pub mod facts;
pub mod gpt;
pub mod grow;
pub mod health;
pub mod history;
pub mod init;
pub mod install;
pub mod install_to_disk;
pub mod join;
pub mod journal;
pub mod kubernetes;
pub mod lifecycle;
pub mod os_release;
pub mod process;
pub mod record;
pub mod recorder;
pub mod release_file;
pub mod reports;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod web;
