//! Where a squashfs has its files' blocks: as much of the format as RAUC's bundles need, made with `-noI` (inodes are not compressed).
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`; `Documentation/filesystems/squashfs.rst`.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

const MAGIC: u32 = 0x7371_7368;
/// Of a metadata block's header: it is not compressed.
const METADATA_PLAIN: u16 = 1 << 15;
/// Of a data block's length: the block is not compressed.
const DATA_PLAIN: u32 = 1 << 24;
const NO_FRAGMENT: u32 = u32::MAX;
const BASIC_DIRECTORY: u16 = 1;
const BASIC_FILE: u16 = 2;
const EXTENDED_DIRECTORY: u16 = 8;
const EXTENDED_FILE: u16 = 9;

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePlacement {
    pub(super) bytes: u64,
    /// Stored length of each of its blocks; 0 is a block of zeros, which isn't stored.
    pub(super) blocks: Vec<u32>,
    /// Whether its end shares a block with those of other files.
    pub(super) has_fragment: bool,
}

/// What a squashfs holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    /// Bytes of a file that one block holds.
    pub(super) block_bytes: u32,
    /// Regular files, in the order of their inodes.
    pub(super) files: Vec<FilePlacement>,
    /// Bytes of everything that is not the content of files: superblock and tables.
    pub(super) tables: u64,
}

/// Reads the placement of every file.
pub(super) fn placement(path: &Path) -> io::Result<Placement> {
    let mut file = File::open(path)?;
    let mut superblock = [0; 96];
    file.read_exact(&mut superblock)?;
    let mut fields = Fields(&superblock);
    if fields.u32()? != MAGIC {
        return Err(odd("it is no squashfs"));
    }
    let inodes = fields.u32()?;
    fields.skip(4)?;
    let block_bytes = fields.u32()?;
    // Fragments, compressor, logarithm, flags, ids, version, root.
    fields.skip(4 + 2 + 2 + 2 + 2 + 4 + 8)?;
    let used = fields.u64()?;
    // Tables of ids and of extended attributes.
    fields.skip(16)?;
    let (inode_table, directory_table) = (fields.u64()?, fields.u64()?);
    let table = plain(&mut file, inode_table, directory_table)?;
    let mut fields = Fields(&table);
    let mut files = Vec::new();
    for _ in 0..inodes {
        files.extend(inode(&mut fields, block_bytes)?);
    }
    Ok(Placement {
        block_bytes,
        files,
        tables: used - inode_table + superblock.len() as u64,
    })
}

/// The content of the metadata blocks from `start` to `end`.
fn plain(file: &mut File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut stored = Vec::new();
    file.take(end.saturating_sub(start)).read_to_end(&mut stored)?;
    let (mut fields, mut content) = (Fields(&stored), Vec::new());
    while !fields.0.is_empty() {
        let header = fields.u16()?;
        if header & METADATA_PLAIN == 0 {
            return Err(odd("its inodes are compressed"));
        }
        content.extend_from_slice(fields.take(usize::from(header & !METADATA_PLAIN))?);
    }
    Ok(content)
}

/// One inode; none when it is no regular file.
fn inode(fields: &mut Fields<'_>, block_bytes: u32) -> io::Result<Option<FilePlacement>> {
    let kind = fields.u16()?;
    fields.skip(14)?;
    match kind {
        BASIC_DIRECTORY => fields.skip(16).map(|()| None),
        EXTENDED_DIRECTORY => {
            fields.skip(4 + 4 + 4 + 4)?;
            let index = fields.u16()?;
            fields.skip(2 + 4)?;
            for _ in 0..index {
                fields.skip(8)?;
                let name = fields.u32()?;
                fields.skip(name as usize + 1)?;
            }
            Ok(None)
        }
        BASIC_FILE => {
            fields.skip(4)?;
            let (fragment, _, bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
            regular(fields, bytes.into(), fragment, block_bytes).map(Some)
        }
        EXTENDED_FILE => {
            fields.skip(8)?;
            let bytes = fields.u64()?;
            fields.skip(8 + 4)?;
            let fragment = fields.u32()?;
            fields.skip(4 + 4)?;
            regular(fields, bytes, fragment, block_bytes).map(Some)
        }
        _ => Err(odd("it has more than folders and files")),
    }
}

fn regular(
    fields: &mut Fields<'_>,
    bytes: u64,
    fragment: u32,
    block_bytes: u32,
) -> io::Result<FilePlacement> {
    let has_fragment = fragment != NO_FRAGMENT;
    let block = u64::from(block_bytes);
    let count = if has_fragment {
        bytes / block
    } else {
        bytes.div_ceil(block)
    };
    let blocks = (0..count).map(|_| Ok(fields.u32()? & !DATA_PLAIN));
    Ok(FilePlacement {
        bytes,
        blocks: blocks.collect::<io::Result<_>>()?,
        has_fragment,
    })
}

/// Little-endian numbers one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| odd("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, bytes: usize) -> io::Result<()> {
        self.take(bytes).map(drop)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| odd("it is cut off"))
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn odd(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn the_placement_of_a_real_squashfs_adds_up_to_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
        fs::create_dir(&tree).unwrap();
        fs::write(
            tree.join("long"),
            [b"x".repeat(1 << 17), vec![0; 1 << 17]].concat(),
        )
        .unwrap();
        fs::write(tree.join("short"), "short").unwrap();
        let made = Command::new("mksquashfs")
            .args([&tree, &image])
            .args(["-noI", "-b", "64k", "-nopad", "-quiet", "-no-progress"])
            .status()
            .expect("install the package squashfs-tools");
        assert!(made.success());
        let placement = placement(&image).unwrap();
        assert_eq!(placement.block_bytes, 1 << 16);
        let lengths: Vec<_> = placement
            .files
            .iter()
            .map(|file| (file.bytes, file.has_fragment))
            .collect();
        assert_eq!(lengths, [(1 << 18, false), (5, true)]);
        assert_eq!(placement.files[0].blocks[2..], [0, 0]);
        let stored: u64 = placement.files[0]
            .blocks
            .iter()
            .map(|&bytes| u64::from(bytes))
            .sum();
        // The short file's end is in a block of its own.
        let rest = fs::metadata(&image).unwrap().len() - placement.tables - stored;
        assert!((5..64).contains(&rest), "{rest}");
    }
}
