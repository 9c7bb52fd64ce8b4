//! The tar archive around a bundle's members: one way to write it, and nothing else is read.
//!
//! Source: POSIX.1-2024, pax, "ustar Interchange Format".

use std::fmt;

use crate::{manifest::MAX_MEMBER_BYTES, plan::ByteRange};

/// Length of a header, and what members are padded to, in bytes.
pub const BLOCK_BYTES: usize = 512;
/// Zeros at the end of an archive, in bytes.
const TRAILER_BYTES: u64 = 2 * BLOCK_BYTES as u64;

/// A member of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberName {
    /// What the release is.
    Manifest,
    /// Who signed the manifest.
    Signatures,
    /// Frame table.
    Index,
    /// Hash trees.
    Verity,
    /// Frames of the boot payload.
    Boot,
    /// Frames of the root file system.
    Root,
    /// Deltas, behind all others; most bundles have none.
    Deltas,
    /// What a delta is: the first member of a delta's own archive.
    Delta,
    /// A delta's frames: the last one.
    Data,
}

/// One of the two things that a release installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadName {
    /// What the firmware or boot loader starts.
    Boot,
    /// The root file system.
    Root,
}

/// Bytes that are no header of the member that must come next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Another member, none, or a header that no Outcrop writes.
    #[error("the bundle has no {0} where it must be: it is damaged, or no bundle")]
    Header(MemberName),
    /// A length that can't be written.
    #[error("the bundle's {name} can't have {bytes} bytes")]
    Size {
        /// The member.
        name: MemberName,
        /// Its length.
        bytes: u64,
    },
}

/// Where a member's bytes lie in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// First byte, from the bundle's start.
    pub start: u64,
    /// Length, in bytes.
    pub bytes: u64,
}

impl MemberName {
    /// All that every bundle has, in the order of the archive.
    pub const ALL: [Self; 6] = [
        Self::Manifest,
        Self::Signatures,
        Self::Index,
        Self::Verity,
        Self::Boot,
        Self::Root,
    ];

    /// Those of a delta's archive, in their order.
    pub const OF_DELTA: [Self; 4] = [Self::Delta, Self::Signatures, Self::Index, Self::Data];

    /// The name in the archive.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest.json",
            Self::Signatures => "signatures.json",
            Self::Index => "index",
            Self::Verity => "verity",
            Self::Boot => "boot",
            Self::Root => "root",
            Self::Deltas => "deltas",
            Self::Delta => "delta.json",
            Self::Data => "data",
        }
    }
}

impl PayloadName {
    /// Both, in the order of the archive.
    pub const ALL: [Self; 2] = [Self::Boot, Self::Root];

    /// The member with its frames.
    #[must_use]
    pub const fn member(self) -> MemberName {
        match self {
            Self::Boot => MemberName::Boot,
            Self::Root => MemberName::Root,
        }
    }
}

impl fmt::Display for PayloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.member().fmt(f)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Place {
    /// The place of a member whose header begins at `header`.
    #[must_use]
    pub const fn after_header(header: u64, bytes: u64) -> Self {
        Self {
            start: header.saturating_add(BLOCK_BYTES as u64),
            bytes,
        }
    }

    /// Bytes of the member, from its start, as bytes of the bundle. What is behind the member's end is left out.
    #[must_use]
    pub const fn range(&self, start: u64, end: u64) -> ByteRange {
        let least = if end < self.bytes { end } else { self.bytes };
        ByteRange {
            start: self.start.saturating_add(start),
            end: self.start.saturating_add(least),
        }
    }

    /// Where the next header begins: behind the padding.
    #[must_use]
    pub const fn next_header(&self) -> u64 {
        let end = self.start.saturating_add(self.bytes);
        match end.checked_next_multiple_of(BLOCK_BYTES as u64) {
            Some(next) => next,
            None => u64::MAX,
        }
    }
}

/// Length of a whole archive whose last member lies at `last`, in bytes.
#[must_use]
pub const fn end(last: &Place) -> u64 {
    last.next_header().saturating_add(TRAILER_BYTES)
}

/// The header of a member: a file of mode 0644 that belongs to root, from 1970.
///
/// # Errors
/// [`ArchiveError::Size`] when the length doesn't fit into the header's digits.
pub fn header(name: MemberName, bytes: u64) -> Result<[u8; BLOCK_BYTES], ArchiveError> {
    if bytes > MAX_MEMBER_BYTES {
        return Err(ArchiveError::Size { name, bytes });
    }
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).zip(text) {
            *place = *byte;
        }
    };
    put(0, name.as_str().as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    for (place, byte) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    Ok(block)
}

/// The length of the member whose header this is. Only what [`header`] writes is taken, so that an archive has one meaning
/// whoever reads it.
///
/// # Errors
/// [`ArchiveError::Header`] for anything else.
pub fn parse_header(name: MemberName, block: &[u8; BLOCK_BYTES]) -> Result<u64, ArchiveError> {
    let wrong = ArchiveError::Header(name);
    let digits = block
        .get(124..135)
        .filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
    let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let bytes = text.and_then(|text| u64::from_str_radix(text, 8).ok());
    match bytes {
        Some(bytes) if header(name, bytes).as_ref() == Ok(block) => Ok(bytes),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_lie_where_tar_puts_them() {
        let first = Place::after_header(0, 513);
        assert_eq!((first.start, first.next_header()), (512, 1536));
        let second = Place::after_header(first.next_header(), 512);
        assert_eq!(
            (second.start, second.next_header(), end(&second)),
            (2048, 2560, 3584)
        );
        let huge = Place::after_header(u64::MAX - 5, u64::MAX);
        assert_eq!(end(&huge), u64::MAX, "nothing overflows");
    }

    #[test]
    fn another_member_or_a_changed_header_is_refused() {
        let block = header(MemberName::Index, 4096).unwrap();
        assert_eq!(parse_header(MemberName::Index, &block), Ok(4096));
        let wrong = Err(ArchiveError::Header(MemberName::Root));
        assert_eq!(parse_header(MemberName::Root, &block), wrong);
        assert_eq!(parse_header(MemberName::Root, &[0; BLOCK_BYTES]), wrong);
        assert!(header(MemberName::Root, MAX_MEMBER_BYTES + 1).is_err());
    }

    proptest! {
        #[test]
        fn a_flipped_bit_in_a_header_is_noticed(bytes in 0..=MAX_MEMBER_BYTES, bit in 0..BLOCK_BYTES * 8) {
            let mut block = header(MemberName::Verity, bytes).unwrap();
            prop_assert_eq!(parse_header(MemberName::Verity, &block), Ok(bytes));
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse_header(MemberName::Verity, &block).is_err());
        }
    }
}
