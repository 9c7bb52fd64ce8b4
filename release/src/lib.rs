//! What Outcrop's builder and updater share and neither owns: digests, slots, partition names, the dm-verity tree.
//!
//! Everything here is pure: bytes in, values out. No disk, clock, network or process.

pub mod agent;
pub mod arch;
pub mod bare;
pub mod board;
pub mod bootrec;
pub mod bundle;
pub mod channel;
pub mod cmdline;
pub mod data_file_system;
pub mod definition;
pub mod delta;
pub mod device_config;
pub mod device_id;
pub mod digest;
pub mod fat;
mod field;
pub mod journal;
pub mod kubernetes;
pub mod loader;
pub mod manifest;
pub mod name;
pub mod packed;
pub mod partition;
pub mod pe;
pub mod plan;
pub mod read_at;
pub mod report;
pub mod signed;
pub mod slot;
pub mod state;
pub mod trust;
pub mod uboot;
pub mod units;
pub mod verity;
