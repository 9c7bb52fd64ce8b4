//! The ar container of a .deb, as deb(5) restricts it: no long names, three members in fixed order.

use std::io::{self, Read, Seek, SeekFrom};

use super::compression::Compression;

/// The first bytes of every ar archive.
pub const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of a member's header: name 16, time 12, owner 6, group 6, mode 8, size 10, end mark 2.
pub const HEADER_BYTES: usize = 60;
/// The last two bytes of a member's header.
pub const HEADER_END: &[u8; 2] = b"`\n";
/// Members that a package may have; three are needed, and a few signatures may follow.
const MAX_MEMBERS: usize = 16;

/// A `control.tar` or `data.tar` member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// With its extension: `data.tar.xz`.
    pub name: String,
    /// Said by the extension.
    pub compression: Compression,
    /// Where its bytes begin, from the start of the package.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
}

/// The two members that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Control information.
    pub control: Member,
    /// The files.
    pub data: Member,
}

/// Why a file isn't the container of a Debian package.
#[derive(Debug, thiserror::Error)]
pub enum ArError {
    /// The file can't be read.
    #[error("read the package file")]
    Read(#[source] io::Error),
    /// Another file format.
    #[error("it doesn't start as an ar archive")]
    Magic,
    /// Ends within a header.
    #[error("{length} bytes after the last whole member, at offset {offset}, are no member header")]
    Trailing {
        /// Where the header begins.
        offset: u64,
        /// How many bytes there are instead of a header.
        length: u64,
    },
    /// A header without its end mark, or with a size that is no decimal number.
    #[error("the member header at offset {0} is malformed")]
    Header(u64),
    /// A name that isn't ASCII, or is empty.
    #[error("the member at offset {0} has a malformed name")]
    Name(u64),
    /// A member reaches past the end of the file.
    #[error("member {name} is truncated: {size} bytes at offset {offset} of a file of {length}")]
    Truncated {
        /// Which member.
        name: String,
        /// Where its bytes begin.
        offset: u64,
        /// How long it says it is.
        size: u64,
        /// How long the file is.
        length: u64,
    },
    /// The byte after a member of odd length isn't a line break.
    #[error("member {0} of odd length isn't padded")]
    Padding(String),
    /// Not a version 2 package.
    #[error("debian-binary says {0:?}, not a version 2 format")]
    Version(String),
    /// Another member than deb(5) has at this place.
    #[error("member {found} where {expected} belongs")]
    Order {
        /// The member's name.
        found: String,
        /// What belongs here.
        expected: &'static str,
    },
    /// A compression that dpkg no longer writes.
    #[error("member {0} has an unknown compression")]
    Compression(String),
    /// The file ends before all three members were there.
    #[error("there is no {0} member")]
    Missing(&'static str),
    /// Far more members than any package has.
    #[error("more than {MAX_MEMBERS} members")]
    TooMany,
}

/// Checks the whole container and returns where control and data lie.
///
/// deb(5): `debian-binary` first, then `control.tar`, then `data.tar`; members that begin with `_` may stand between
/// and after them and are ignored. Stricter than deb(5): any other member after `data.tar` is refused.
///
/// # Errors
/// When anything else is in the file than deb(5) says.
pub fn read_package(reader: &mut (impl Read + Seek)) -> Result<Members, ArError> {
    let length = reader.seek(SeekFrom::End(0)).map_err(ArError::Read)?;
    let mut walk = Walk {
        reader,
        length,
        offset: MAGIC.len() as u64,
        members: 0,
    };
    walk.check_magic()?;
    walk.check_version()?;
    let control = walk.tar_member("control.tar")?;
    let data = walk.tar_member("data.tar")?;
    if let Some(extra) = walk.next_unless_ignored()? {
        return Err(ArError::Order {
            found: extra.name,
            expected: "the end",
        });
    }
    Ok(Members { control, data })
}

/// A member of any name.
struct RawMember {
    name: String,
    offset: u64,
    size: u64,
}

struct Walk<'a, R> {
    reader: &'a mut R,
    length: u64,
    /// Of the next header.
    offset: u64,
    members: usize,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn read_at<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], ArError> {
        let mut bytes = [0; N];
        self.reader.seek(SeekFrom::Start(offset)).map_err(ArError::Read)?;
        self.reader.read_exact(&mut bytes).map_err(ArError::Read)?;
        Ok(bytes)
    }

    fn check_magic(&mut self) -> Result<(), ArError> {
        if self.length < MAGIC.len() as u64 || self.read_at::<8>(0)? != *MAGIC {
            return Err(ArError::Magic);
        }
        Ok(())
    }

    /// deb(5): the first line is the version, `2.` and a minor number; further lines are to be ignored.
    fn check_version(&mut self) -> Result<(), ArError> {
        let member = self.next()?.ok_or(ArError::Missing("debian-binary"))?;
        if member.name != "debian-binary" {
            return Err(ArError::Order {
                found: member.name,
                expected: "debian-binary",
            });
        }
        let mut bytes = Vec::new();
        let start = self.reader.seek(SeekFrom::Start(member.offset));
        let read = start.and_then(|_| self.reader.take(member.size.min(64)).read_to_end(&mut bytes));
        read.map_err(ArError::Read)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.split_once('\n').map(|(line, _)| line);
        let minor = line.and_then(|line| line.strip_prefix("2."));
        match minor {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
            _ => Err(ArError::Version(text)),
        }
    }

    fn tar_member(&mut self, expected: &'static str) -> Result<Member, ArError> {
        let member = self.next_unless_ignored()?.ok_or(ArError::Missing(expected))?;
        let Some(extension) = member.name.strip_prefix(expected) else {
            return Err(ArError::Order {
                found: member.name,
                expected,
            });
        };
        let Some(compression) = Compression::from_extension(extension) else {
            return Err(ArError::Compression(member.name));
        };
        Ok(Member {
            compression,
            offset: member.offset,
            size: member.size,
            name: member.name,
        })
    }

    fn next_unless_ignored(&mut self) -> Result<Option<RawMember>, ArError> {
        loop {
            match self.next()? {
                Some(member) if member.name.starts_with('_') => {}
                other => return Ok(other),
            }
        }
    }

    fn next(&mut self) -> Result<Option<RawMember>, ArError> {
        let left = self.length - self.offset; // `offset` never passes `length`: `end_of` checks
        if left == 0 {
            return Ok(None);
        }
        if left < HEADER_BYTES as u64 {
            return Err(ArError::Trailing {
                offset: self.offset,
                length: left,
            });
        }
        self.members += 1;
        if self.members > MAX_MEMBERS {
            return Err(ArError::TooMany);
        }
        let header = self.read_at::<HEADER_BYTES>(self.offset)?;
        let member = parse_header(&header, self.offset)?;
        self.offset = self.end_of(&member)?;
        Ok(Some(member))
    }

    /// Where the next header begins: past the member and its padding to an even offset.
    fn end_of(&mut self, member: &RawMember) -> Result<u64, ArError> {
        let end = member.offset.checked_add(member.size);
        let Some(end) = end.filter(|end| *end <= self.length) else {
            return Err(ArError::Truncated {
                name: member.name.clone(),
                offset: member.offset,
                size: member.size,
                length: self.length,
            });
        };
        if end % 2 == 0 {
            return Ok(end);
        }
        if end == self.length || self.read_at::<1>(end)? != [b'\n'] {
            return Err(ArError::Padding(member.name.clone()));
        }
        Ok(end + 1)
    }
}

/// Reads a header at `offset`. Time, owner, group and mode mean nothing in a package and are ignored.
fn parse_header(header: &[u8; HEADER_BYTES], offset: u64) -> Result<RawMember, ArError> {
    let (name, rest) = header.split_at(16);
    let (size, end) = rest.split_at(32).1.split_at(10);
    if end != HEADER_END {
        return Err(ArError::Header(offset));
    }
    let size = trimmed(size)
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(ArError::Header(offset))?;
    let name = trimmed(name).map(|name| name.strip_suffix('/').unwrap_or(name));
    let name = name.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(RawMember {
        name: name.ok_or(ArError::Name(offset))?.to_owned(),
        offset: offset + HEADER_BYTES as u64,
        size,
    })
}

fn trimmed(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field)
        .ok()
        .map(|text| text.trim_end_matches(' '))
}
