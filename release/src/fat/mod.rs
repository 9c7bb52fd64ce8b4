//! The FAT32 of partition 1 and of the Raspberry Pi's boot partitions: every file in one piece, at places known before a byte is written.
//!
//! Own code, since a later updater overwrites the boot payloads in place: their clusters must follow each other, and the
//! file system must be written sparsely. Long names are ASCII here.
//! Source: Microsoft, "FAT32 File System Specification" 1.03.

mod boot_sector;
mod directory;
mod error;
mod geometry;
mod name;
mod plan;
mod read;

pub use error::FatError;
pub use geometry::Geometry;
pub use plan::{FatPlan, FileSpec, Volume};
pub use read::{DirectoryEntry, FatReader};
