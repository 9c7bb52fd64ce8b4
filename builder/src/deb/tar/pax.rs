//! PAX extended headers: records `LENGTH KEY=VALUE\n` that override the next header.

use std::collections::BTreeMap;

/// Longest extended header, in bytes. The longest in practice holds a few attributes and long names; Linux allows
/// 64 KiB of attributes to a file.
pub const MAX_PAX_BYTES: u64 = 128 << 10;

/// What begins the key of an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

/// What one extended header says about the next entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Name.
    pub path: Option<Vec<u8>>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
    /// Length of the body.
    pub size: Option<u64>,
    /// Owner.
    pub uid: Option<u64>,
    /// Group.
    pub gid: Option<u64>,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// Why an extended header can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// A record without length, equals sign or line break, or of another length than it says.
    #[error("a record of the extended header is malformed")]
    Record,
    /// A key that this reader doesn't know, and that could change what the entry means.
    #[error("the extended header has the unknown key {0:?}")]
    Key(String),
    /// A number that isn't decimal or doesn't fit in 64 bits.
    #[error("the extended header's {0} is no number that fits")]
    Number(&'static str),
    /// The same key twice.
    #[error("the extended header has {0:?} twice")]
    Twice(String),
}

impl Overrides {
    /// Parses the body of an extended header.
    ///
    /// # Errors
    /// When a record is malformed, or its key unknown or repeated.
    pub fn parse(mut body: &[u8]) -> Result<Self, PaxError> {
        let mut overrides = Self::default();
        while !body.is_empty() {
            let (key, value, rest) = record(body)?;
            overrides.set(key, value)?;
            body = rest;
        }
        Ok(overrides)
    }

    /// Times and names of owners are not kept, but known.
    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), PaxError> {
        let fresh = match key {
            "path" => self.path.replace(value.to_vec()).is_none(),
            "linkpath" => self.link.replace(value.to_vec()).is_none(),
            "size" => self.size.replace(decimal(value, "size")?).is_none(),
            "uid" => self.uid.replace(decimal(value, "owner")?).is_none(),
            "gid" => self.gid.replace(decimal(value, "group")?).is_none(),
            "mtime" | "atime" | "ctime" | "LIBARCHIVE.creationtime" | "uname" | "gname" | "comment" => true,
            _ => self.set_xattr(key, value)?,
        };
        if fresh {
            Ok(())
        } else {
            Err(PaxError::Twice(key.to_owned()))
        }
    }

    fn set_xattr(&mut self, key: &str, value: &[u8]) -> Result<bool, PaxError> {
        match key.strip_prefix(XATTR) {
            Some(name) if is_attribute_name(name) => {
                Ok(self.xattrs.insert(name.to_owned(), value.to_vec()).is_none())
            }
            _ => Err(PaxError::Key(key.to_owned())),
        }
    }
}

/// `namespace.name`, at most 255 bytes. Source: xattr(7).
fn is_attribute_name(name: &str) -> bool {
    let parts = name.split_once('.');
    name.len() <= 255
        && !name.contains('\0')
        && parts.is_some_and(|(space, rest)| !space.is_empty() && !rest.is_empty())
}

/// Splits the first record off: its key, its value, and what follows.
fn record(body: &[u8]) -> Result<(&str, &[u8], &[u8]), PaxError> {
    let space = body
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or(PaxError::Record)?;
    let length = decimal(&body[..space], "record").map_err(|_| PaxError::Record)?;
    let length = usize::try_from(length).map_err(|_| PaxError::Record)?;
    let (record, rest) = body.split_at_checked(length).ok_or(PaxError::Record)?;
    let text = record.get(space + 1..).and_then(|text| text.strip_suffix(b"\n"));
    let text = text.ok_or(PaxError::Record)?;
    let equals = text
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or(PaxError::Record)?;
    let key = std::str::from_utf8(&text[..equals]).map_err(|_| PaxError::Record)?;
    Ok((key, &text[equals + 1..], rest))
}

fn decimal(text: &[u8], what: &'static str) -> Result<u64, PaxError> {
    let digits = std::str::from_utf8(text).ok();
    digits
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(PaxError::Number(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_records_override_and_times_are_dropped() {
        let body = b"12 path=a/b\n10 uid=12\n13 mtime=1.5\n23 SCHILY.xattr.u.a=\0\n\n";
        let overrides = Overrides::parse(body).unwrap();
        assert_eq!(overrides.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(overrides.uid, Some(12));
        assert_eq!(overrides.xattrs["u.a"], b"\0\n");
    }

    #[test]
    fn malformed_repeated_and_unknown_records_are_refused() {
        for (body, error) in [
            (&b"path=a\n"[..], PaxError::Record),
            (b"99 path=a\n", PaxError::Record),
            (b"9 path=ab\n", PaxError::Record),
            (b"99999999999999999999 path=a\n", PaxError::Record),
            (b"2 path=a\n", PaxError::Record),
            (b"0 path=a\n", PaxError::Record),
            (b"10 path:a\n", PaxError::Record),
            (b"11 size=-1\n", PaxError::Number("size")),
            (b"9 size=1\n9 size=2\n", PaxError::Twice("size".to_owned())),
            (
                b"22 GNU.sparse.major=1\n",
                PaxError::Key("GNU.sparse.major".to_owned()),
            ),
            (b"19 SCHILY.xattr.=x\n", PaxError::Key("SCHILY.xattr.".to_owned())),
        ] {
            assert_eq!(
                Overrides::parse(body),
                Err(error),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
    }
}
