//! Boots images in QEMU and watches them: a harness for scenarios that only a booted machine can show.
//!
//! A [`Guest`] is a running machine with its serial console as a searchable log ([`Console`]), its QMP monitor
//! ([`Monitor`]) and a disk that the scenario owns ([`Disk`]). Whatever ends a scenario, QEMU ends with it, and a
//! time-out's error holds the console's last lines.

pub mod build;
pub mod channel;
pub mod console;
pub mod device_toml;
pub mod disk;
pub mod error;
pub mod guest;
pub mod host;
pub mod images;
pub mod kubernetes;
pub mod monitor;
mod prepared;
pub mod raspberry_pi;
pub mod scenario;
pub mod secure_boot;
pub mod shell;
pub mod update;
pub mod web;

pub use console::Console;
pub use disk::Disk;
pub use error::Error;
pub use guest::{Guest, Start};
pub use monitor::Monitor;
pub use shell::Shell;
