//! Inodes: 32 bytes (compact) when owner, group, links and size fit, else 64 (extended).
//!
//! Format: "Core On-disk Format", section Inodes, in the documentation of EROFS at kernel.org.

use super::{fields::Fields, reader::Fault};

/// Inode numbers count slots of this many bytes.
pub(super) const SLOT_BYTES: usize = 32;
pub(super) const COMPACT_BYTES: usize = 32;
pub(super) const EXTENDED_BYTES: usize = 64;

/// What an inode is. The discriminants are those of directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileType {
    /// Regular file.
    Regular = 1,
    /// Folder.
    Directory = 2,
    /// Character device.
    CharacterDevice = 3,
    /// Block device.
    BlockDevice = 4,
    /// Named pipe.
    Fifo = 5,
    /// Socket.
    Socket = 6,
    /// Symbolic link.
    Symlink = 7,
}

impl FileType {
    const ALL: [(Self, u16); 7] = [
        (Self::Regular, 0o100_000),
        (Self::Directory, 0o040_000),
        (Self::CharacterDevice, 0o020_000),
        (Self::BlockDevice, 0o060_000),
        (Self::Fifo, 0o010_000),
        (Self::Socket, 0o140_000),
        (Self::Symlink, 0o120_000),
    ];

    /// The type of an `st_mode`.
    pub(super) fn of_mode(mode: u16) -> Option<Self> {
        let (found, _) = Self::ALL.iter().find(|(_, bits)| mode & 0o170_000 == *bits)?;
        Some(*found)
    }

    /// The type that a directory entry claims.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        let (found, _) = Self::ALL.iter().find(|(found, _)| *found as u8 == code)?;
        Some(*found)
    }

    /// The type's bits of `st_mode`.
    pub(super) fn mode_bits(self) -> u16 {
        Self::ALL
            .iter()
            .find(|(found, _)| *found == self)
            .map_or(0, |(_, bits)| *bits)
    }
}

/// How an inode's bytes lie in the image. The discriminants are those of the inode's format field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub(super) enum Layout {
    /// All in consecutive blocks.
    Plain = 0,
    /// Whole blocks consecutively, the rest behind the inode and its attributes, in the same block as the inode's end.
    Inline = 2,
}

/// One inode as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) layout: Layout,
    /// Number of 4-byte units of the attribute area, plus one less than its header's: see `xattr`.
    pub(super) xattr_count: u16,
    /// `st_mode`, type included.
    pub(super) mode: u16,
    pub(super) size: u64,
    pub(super) links: u32,
    /// First block of the data, or device number.
    pub(super) block: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970; a compact inode has the superblock's.
    pub(super) time: u64,
}

impl Inode {
    /// Bytes of the inode alone, for these fields.
    pub(super) fn encoded_bytes(size: u64, links: u32, uid: u32, gid: u32) -> usize {
        let fits = [links, uid, gid]
            .iter()
            .all(|field| u16::try_from(*field).is_ok());
        if fits && u32::try_from(size).is_ok() {
            COMPACT_BYTES
        } else {
            EXTENDED_BYTES
        }
    }

    /// The stored inode. Its serial number (only meant for `stat` on 32-bit systems, which Linux derives from the
    /// inode's place instead) stays 0: then small files that move keep their bytes, and updates stay small.
    pub(super) fn encode(&self) -> Vec<u8> {
        let layout = (self.layout as u16) << 1;
        let compact = (
            u32::try_from(self.size),
            u16::try_from(self.links),
            u16::try_from(self.uid),
            u16::try_from(self.gid),
        );
        if let (Ok(size), Ok(links), Ok(uid), Ok(gid)) = compact {
            self.encode_compact(layout, size, links, uid, gid)
        } else {
            self.encode_extended(layout | 1)
        }
    }

    fn encode_compact(&self, format: u16, size: u32, links: u16, uid: u16, gid: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(COMPACT_BYTES);
        for field in [format, self.xattr_count, self.mode, links] {
            out.extend(field.to_le_bytes());
        }
        for field in [size, 0, self.block, 0] {
            out.extend(field.to_le_bytes());
        }
        out.extend(uid.to_le_bytes());
        out.extend(gid.to_le_bytes());
        out.extend([0; 4]);
        out
    }

    fn encode_extended(&self, format: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(EXTENDED_BYTES);
        for field in [format, self.xattr_count, self.mode, 0] {
            out.extend(field.to_le_bytes());
        }
        out.extend(self.size.to_le_bytes());
        for field in [self.block, 0, self.uid, self.gid] {
            out.extend(field.to_le_bytes());
        }
        out.extend(self.time.to_le_bytes());
        out.extend(0_u32.to_le_bytes()); // nanoseconds
        out.extend(self.links.to_le_bytes());
        out.extend([0; 16]);
        out
    }

    /// Whether the inode that starts with these two bytes is an extended one.
    pub(super) fn is_extended(format: u16) -> bool {
        format & 1 == 1
    }

    /// Reads an inode; `time` is the superblock's.
    pub(super) fn decode(bytes: &[u8], time: u64) -> Result<Self, Fault> {
        let mut fields = Fields(bytes);
        let format = fields.u16().ok_or(Fault::Outside)?;
        if format >> 4 != 0 {
            return Err(Fault::Format(format));
        }
        let layout = match format >> 1 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            other => return Err(Fault::Layout(other)),
        };
        let decoded = if Self::is_extended(format) {
            Self::decode_extended(layout, fields)
        } else {
            Self::decode_compact(layout, fields, time)
        };
        decoded.ok_or(Fault::Outside)
    }

    fn decode_compact(layout: Layout, mut fields: Fields<'_>, time: u64) -> Option<Self> {
        let (xattr_count, mode, links) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let (size, _reserved, block, _serial) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (uid, gid, _reserved) = (fields.u16()?, fields.u16()?, fields.u32()?);
        Some(Self {
            layout,
            xattr_count,
            mode,
            size: u64::from(size),
            links: u32::from(links),
            block,
            uid: u32::from(uid),
            gid: u32::from(gid),
            time,
        })
    }

    fn decode_extended(layout: Layout, mut fields: Fields<'_>) -> Option<Self> {
        let (xattr_count, mode, _reserved) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let size = fields.u64()?;
        let (block, _serial, uid, gid) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (time, _nanoseconds, links) = (fields.u64()?, fields.u32()?, fields.u32()?);
        fields.bytes(16)?;
        Some(Self {
            layout,
            xattr_count,
            mode,
            size,
            links,
            block,
            uid,
            gid,
            time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_700_000_000;

    fn sample(size: u64, uid: u32, links: u32) -> Inode {
        Inode {
            layout: Layout::Inline,
            xattr_count: 3,
            mode: 0o104_755,
            size,
            links,
            block: 77,
            uid,
            gid: 4,
            time: TIME,
        }
    }

    #[test]
    fn an_inode_is_compact_as_long_as_every_field_fits_and_reads_back_either_way() {
        for (inode, bytes) in [
            (sample(u64::from(u32::MAX), 65_535, 65_535), COMPACT_BYTES),
            (sample(1 << 32, 0, 1), EXTENDED_BYTES),
            (sample(1, 65_536, 1), EXTENDED_BYTES),
            (sample(1, 0, 65_536), EXTENDED_BYTES),
        ] {
            let encoded = inode.encode();
            assert_eq!(encoded.len(), bytes);
            assert_eq!(
                Inode::encoded_bytes(inode.size, inode.links, inode.uid, inode.gid),
                bytes
            );
            assert_eq!(Inode::decode(&encoded, TIME), Ok(inode));
        }
    }

    #[test]
    fn compressed_and_truncated_inodes_are_refused() {
        let mut encoded = sample(1, 0, 1).encode();
        assert_eq!(Inode::decode(&encoded[..31], TIME), Err(Fault::Outside));
        encoded[0] = 3 << 1;
        assert_eq!(Inode::decode(&encoded, TIME), Err(Fault::Layout(3)));
    }
}
