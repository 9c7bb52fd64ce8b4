//! What can be wrong with a FAT.

use std::io;

/// A FAT can't be written, or one that was read isn't as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// Too short or too long for FAT32.
    #[error("a FAT32 can't be {0} bytes long: at least 66 MiB, less than 2 TiB")]
    Length(u64),
    /// A path that isn't made of plain ASCII names.
    #[error("FAT: {0:?} is no path of ASCII names")]
    Name(String),
    /// Two files with one path, or a file where a folder must be.
    #[error("FAT: {0} is there twice")]
    Duplicate(String),
    /// The files are longer than the file system.
    #[error("FAT: no room for {0}")]
    Full(String),
    /// It can't be read.
    #[error("read a FAT")]
    Io(#[from] io::Error),
    /// The boot sector isn't that of a FAT32.
    #[error("no FAT32: field {0} of the boot sector")]
    BootSector(&'static str),
    /// A chain of clusters that leaves the file system, runs in a circle, or is shorter than the file.
    #[error("FAT: the cluster chain that begins at {0} is damaged")]
    Chain(u32),
    /// A folder with more entries than Outcrop reads.
    #[error("FAT: a folder is too long")]
    Folder,
    /// A path of which a part is no folder.
    #[error("FAT: {0} is no folder")]
    NoFolder(String),
}
