//! Extended attributes: the area behind an inode.
//!
//! The area is a header of 12 bytes and then entries, each a name without its well-known prefix and a value, padded to
//! 4 bytes. The writer stores every attribute in its inode's own area: few files have any. The reader also follows
//! references to the shared area that other writers use.
//! Format: `fs/erofs/erofs_fs.h` of Linux, `erofs_xattr_ibody_header` and `erofs_xattr_entry`.

use std::collections::BTreeMap;

use super::fields::Fields;

/// Bytes of the area's header.
pub(super) const HEADER_BYTES: usize = 12;
/// Entries and references are counted in units of this many bytes.
const UNIT_BYTES: usize = 4;
/// Bytes of an entry before its name.
pub(super) const ENTRY_HEADER_BYTES: usize = 4;
/// Longest value Linux accepts (`XATTR_SIZE_MAX` is 65,536, and the stored length has 16 bits).
const MAX_VALUE_BYTES: usize = 65_535;
/// Longest name, prefix included: `XATTR_NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;

/// Prefixes that the format numbers. A name that is matched whole (the two of POSIX ACLs) has no rest.
const PREFIXES: [(u8, &str); 5] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
];

/// Why attributes can't be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XattrError {
    /// The name has no known prefix, or nothing behind it, or a NUL byte.
    #[error("attribute name {0:?} is none that Linux has")]
    Name(String),
    /// The name or the value is longer than Linux allows.
    #[error("attribute {name} is too long: {bytes} bytes")]
    TooLong {
        /// Full name.
        name: String,
        /// Length of the value, or of the name when that is the one too long.
        bytes: usize,
    },
    /// More than the area's 16-bit length can count.
    #[error("attributes of {0} bytes in one inode are too many")]
    TooMany(usize),
}

/// The attribute area of an inode; empty without attributes.
pub(super) fn encode(xattrs: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, XattrError> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut area = vec![0; HEADER_BYTES];
    for (name, value) in xattrs {
        encode_entry(&mut area, name, value)?;
    }
    if count(area.len()).is_none() {
        return Err(XattrError::TooMany(area.len()));
    }
    Ok(area)
}

fn encode_entry(area: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), XattrError> {
    let too_long = |bytes| XattrError::TooLong {
        name: name.to_owned(),
        bytes,
    };
    let (index, rest) = split(name).ok_or_else(|| XattrError::Name(name.to_owned()))?;
    if name.len() > MAX_NAME_BYTES {
        return Err(too_long(name.len()));
    }
    let name_length = u8::try_from(rest.len()).map_err(|_| too_long(name.len()))?;
    let value_length = u16::try_from(value.len()).map_err(|_| too_long(value.len()))?;
    area.extend([name_length, index]);
    area.extend(value_length.to_le_bytes());
    area.extend(rest.as_bytes());
    area.extend(value);
    area.resize(area.len().next_multiple_of(UNIT_BYTES), 0);
    Ok(())
}

/// A name's prefix number and the rest.
fn split(name: &str) -> Option<(u8, &str)> {
    let (index, prefix, rest) = PREFIXES
        .iter()
        .find_map(|(index, prefix)| Some((*index, *prefix, name.strip_prefix(prefix)?)))?;
    let whole = !prefix.ends_with('.');
    (rest.is_empty() == whole && !rest.contains('\0')).then_some((index, rest))
}

/// What the inode says of an area of `bytes` bytes; none when that doesn't fit.
pub(super) fn count(bytes: usize) -> Option<u16> {
    match bytes.checked_sub(HEADER_BYTES) {
        None => Some(0),
        Some(entries) => u16::try_from(entries / UNIT_BYTES + 1).ok(),
    }
}

/// Bytes of an inode's area: the inverse of [`count`].
pub(super) fn area_bytes(count: u16) -> usize {
    match usize::from(count).checked_sub(1) {
        None => 0,
        Some(units) => HEADER_BYTES + units * UNIT_BYTES,
    }
}

/// What an inode's area holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) own: BTreeMap<String, Vec<u8>>,
    /// References into the shared area, in units of 4 bytes from its start.
    pub(super) shared: Vec<u32>,
}

/// Reads an area; none when it is malformed.
pub(super) fn decode(area: &[u8]) -> Option<Area> {
    let mut found = Area::default();
    if area.is_empty() {
        return Some(found);
    }
    let mut fields = Fields(area);
    let (_filter, shared, _reserved) = (fields.u32()?, fields.u8()?, fields.bytes(7)?);
    for _ in 0..shared {
        found.shared.push(fields.u32()?);
    }
    while !fields.0.is_empty() {
        let before = fields.0.len();
        let (name, value) = decode_entry(&mut fields)?;
        let used = before - fields.0.len();
        fields.bytes(used.next_multiple_of(UNIT_BYTES) - used)?;
        if found.own.insert(name, value).is_some() {
            return None;
        }
    }
    Some(found)
}

/// Reads one entry, without the padding behind it.
pub(super) fn decode_entry(fields: &mut Fields<'_>) -> Option<(String, Vec<u8>)> {
    let (name_length, index, value_length) = (fields.u8()?, fields.u8()?, fields.u16()?);
    let rest = std::str::from_utf8(fields.bytes(usize::from(name_length))?).ok()?;
    let (_, prefix) = PREFIXES.iter().find(|(known, _)| *known == index)?;
    let name = format!("{prefix}{rest}");
    split(&name)?;
    Some((name, fields.bytes(usize::from(value_length))?.to_vec()))
}

/// Most bytes an entry can have.
pub(super) const MAX_ENTRY_BYTES: usize = ENTRY_HEADER_BYTES + MAX_NAME_BYTES + MAX_VALUE_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn xattrs(pairs: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect()
    }

    #[test]
    fn attributes_of_every_prefix_read_back() {
        let own = xattrs(&[
            ("user.a", b"1"),
            ("trusted.bc", b""),
            ("security.capability", &[1; 20]),
            ("system.posix_acl_access", &[2; 28]),
            ("system.posix_acl_default", &[3; 5]),
        ]);
        let area = encode(&own).unwrap();
        assert_eq!(area_bytes(count(area.len()).unwrap()), area.len());
        assert_eq!(decode(&area).unwrap().own, own);
    }

    #[test]
    fn names_that_linux_does_not_have_are_refused() {
        for name in [
            "user.",
            "system.other",
            "system.posix_acl_accessory",
            "capability",
            "user.a\0b",
        ] {
            assert_eq!(
                encode(&xattrs(&[(name, b"")])),
                Err(XattrError::Name(name.to_owned()))
            );
        }
    }

    #[test]
    fn too_long_and_too_many_attributes_are_refused() {
        let long = format!("user.{}", "x".repeat(251));
        assert!(matches!(
            encode(&xattrs(&[(&long, b"")])),
            Err(XattrError::TooLong { bytes: 256, .. })
        ));
        assert!(matches!(
            encode(&xattrs(&[("user.a", &[0; 65_536])])),
            Err(XattrError::TooLong { bytes: 65_536, .. })
        ));
        let names: Vec<String> = (0..5).map(|number| format!("user.{number}")).collect();
        let value = [0; 65_535];
        let many = names
            .iter()
            .map(|name| (name.as_str(), &value[..]))
            .collect::<Vec<_>>();
        assert!(matches!(encode(&xattrs(&many)), Err(XattrError::TooMany(_))));
    }
}
