//! One 512-byte header block.

/// Everything in a tar archive is a multiple of this.
pub const BLOCK_BYTES: usize = 512;

/// What an entry is. Extension headers are the reader's business and never leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A regular file (`0`, or NUL in v7 archives).
    File,
    /// Another name of an earlier file (`1`).
    HardLink,
    /// `2`
    Symlink,
    /// `3`
    CharacterDevice,
    /// `4`
    BlockDevice,
    /// `5`, or a v7 file whose name ends with a slash.
    Directory,
    /// `6`
    Fifo,
    /// `x`: PAX records for the next entry.
    Pax,
    /// `g`: PAX records for all entries that follow.
    PaxGlobal,
    /// `L`: the next entry's name.
    GnuLongName,
    /// `K`: the next entry's link target.
    GnuLongLink,
    /// Anything else, the GNU sparse file (`S`) among them.
    Unknown(u8),
}

/// Why a block is no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The sum of the bytes isn't the stated one.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// A number that isn't octal, or is negative or beyond 64 bits.
    #[error("the header's {0} is no number that fits")]
    Number(&'static str),
}

/// A parsed header block. Texts are as they are in the block, up to their NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name, with ustar's prefix.
    pub name: Vec<u8>,
    /// `st_mode`; the type bits, which some writers set, are not kept.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u64,
    /// Numeric group.
    pub gid: u64,
    /// Bytes that follow the header, without padding.
    pub size: u64,
    /// What it is.
    pub kind: Type,
    /// Target of a link.
    pub link: Vec<u8>,
}

/// Offset and length of the fields. POSIX.1-2001, `pax`, "ustar Header Block".
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const TYPE: usize = 156;
const LINK: (usize, usize) = (157, 100);
const MAGIC: (usize, usize) = (257, 6);
const PREFIX: (usize, usize) = (345, 155);

impl Header {
    /// Parses a block that isn't all zeros.
    ///
    /// # Errors
    /// When the checksum or a number is wrong.
    pub fn parse(block: &[u8; BLOCK_BYTES]) -> Result<Self, HeaderError> {
        if number(field(block, CHECKSUM)) != Some(checksum(block)) {
            return Err(HeaderError::Checksum);
        }
        let read = |range, name| number(field(block, range)).ok_or(HeaderError::Number(name));
        let mode = u16::try_from(read(MODE, "mode")?).map_err(|_| HeaderError::Number("mode"))?;
        let name = full_name(block);
        Ok(Self {
            mode: mode & 0o7777,
            uid: read(UID, "owner")?,
            gid: read(GID, "group")?,
            size: read(SIZE, "size")?,
            kind: kind(block[TYPE], &name),
            link: text(field(block, LINK)).to_vec(),
            name,
        })
    }
}

fn field(block: &[u8; BLOCK_BYTES], (offset, length): (usize, usize)) -> &[u8] {
    block.get(offset..offset + length).unwrap_or_default()
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// The prefix field is a name's only in POSIX headers (`ustar` and NUL); GNU headers keep other things there.
fn full_name(block: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let name = text(field(block, NAME));
    let prefix = text(field(block, PREFIX));
    if field(block, MAGIC) != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn kind(flag: u8, name: &[u8]) -> Type {
    match flag {
        0 if name.ends_with(b"/") => Type::Directory,
        0 | b'0' => Type::File,
        b'1' => Type::HardLink,
        b'2' => Type::Symlink,
        b'3' => Type::CharacterDevice,
        b'4' => Type::BlockDevice,
        b'5' => Type::Directory,
        b'6' => Type::Fifo,
        b'x' => Type::Pax,
        b'g' => Type::PaxGlobal,
        b'L' => Type::GnuLongName,
        b'K' => Type::GnuLongLink,
        other => Type::Unknown(other),
    }
}

/// Sum of all bytes, the checksum field itself taken as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u64 {
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field(block, CHECKSUM).iter().map(|byte| u64::from(*byte)).sum();
    all - own + CHECKSUM.1 as u64 * u64::from(b' ')
}

/// Octal digits between spaces and NULs, or base-256 when the first byte is 0x80 (GNU; negative ones begin with 0xff).
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return rest.iter().try_fold(0_u64, |sum, byte| {
            sum.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        sum.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_positive_binary_and_never_overflow() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 1, 0, 0, 0]), Some(1 << 24));
        for bad in [
            &b"0000648\0"[..],
            b"-1\0\0\0\0\0\0",
            b"1 1\0\0\0\0\0",
            &[0xff; 8],
            &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
