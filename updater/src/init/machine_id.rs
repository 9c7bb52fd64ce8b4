//! The machine's identity: made once, kept on the data partition, in place before PID 1 of the system starts.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use crate::durable::{self, DurableError};

/// Name of the file in `/var/lib/outcrop`.
pub const FILE_NAME: &str = "machine-id";

/// Sixteen bytes, never all zero or all one. Text form: 32 lower-case hexadecimal digits.
/// Source: systemd, `machine-id(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineId([u8; 16]);

impl MachineId {
    /// Makes one from random bytes, in the form of a version 4 UUID.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads the text form, with at most a line end behind it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut bytes = [0; 16];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        let usable = bytes != [0; 16] && bytes != [0xff; 16];
        usable.then_some(Self(bytes))
    }
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl std::fmt::Display for MachineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for byte in self.0 {
            write!(text, "{byte:02x}")?;
        }
        f.write_str(&text)
    }
}

/// Where an id came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Kept,
    /// There was none: this is the first boot.
    Made,
    /// What was there is no id; it now lies at this path.
    Replaced(PathBuf),
}

/// The id can't be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}")]
pub struct MachineIdError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl From<DurableError> for MachineIdError {
    fn from(DurableError { doing, path, source }: DurableError) -> Self {
        let what = doing;
        Self { what, path, source }
    }
}

/// The id in `folder`, which is made if it is missing. A damaged one is set aside. When this returns, the id survives a
/// power cut.
///
/// # Errors
/// When the folder can't be read or written.
pub fn load_or_make(folder: &Path, random: [u8; 16]) -> Result<(MachineId, Origin), MachineIdError> {
    let path = folder.join(FILE_NAME);
    let origin = match fs::read(&path) {
        Ok(text) => match MachineId::parse(&text) {
            Some(id) => return Ok((id, Origin::Kept)),
            None => Origin::Replaced(set_aside(&path)?),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Origin::Made,
        Err(source) => return Err(failed("read", &path, source)),
    };
    let id = MachineId::from_random(random);
    durable::replace(&path, format!("{id}\n").as_bytes())?;
    Ok((id, origin))
}

fn set_aside(path: &Path) -> Result<PathBuf, MachineIdError> {
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside).map_err(|source| failed("set aside", path, source))?;
    Ok(aside)
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> MachineIdError {
    let path = path.to_owned();
    MachineIdError { what, path, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANDOM: [u8; 16] = [0xff; 16];

    #[test]
    fn the_first_boot_makes_an_id_and_the_second_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("lib/outcrop");
        let (made, origin) = load_or_make(&folder, RANDOM).unwrap();
        assert_eq!(origin, Origin::Made);
        assert_eq!(made.to_string(), "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(load_or_make(&folder, [1; 16]).unwrap(), (made, Origin::Kept));
        assert_eq!(
            fs::read_to_string(folder.join("machine-id")).unwrap(),
            format!("{made}\n")
        );
    }

    #[test]
    fn a_damaged_id_is_set_aside_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        for damaged in ["", "uninitialized\n", "00000000000000000000000000000000\n", "xyz"] {
            fs::write(root.path().join("machine-id"), damaged).unwrap();
            let (id, origin) = load_or_make(root.path(), RANDOM).unwrap();
            let aside = root.path().join("machine-id.damaged");
            assert_eq!(origin, Origin::Replaced(aside.clone()));
            assert_eq!(fs::read_to_string(aside).unwrap(), damaged);
            assert_eq!(load_or_make(root.path(), [1; 16]).unwrap(), (id, Origin::Kept));
        }
    }

    #[test]
    fn what_a_power_cut_left_half_written_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("machine-id.new"), "half").unwrap();
        assert_eq!(load_or_make(root.path(), RANDOM).unwrap().1, Origin::Made);
    }

    #[test]
    fn a_folder_that_cant_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let folder = root.path().join("file/outcrop");
        let error = load_or_make(&folder, RANDOM).unwrap_err().to_string();
        assert!(error.contains("file/outcrop"), "{error}");
    }

    proptest! {
        #[test]
        fn every_random_id_survives_its_text_form(bytes: [u8; 16]) {
            let id = MachineId::from_random(bytes);
            prop_assert_eq!(MachineId::parse(id.to_string().as_bytes()), Some(id));
            prop_assert_eq!(MachineId::parse(id.to_string().to_uppercase().as_bytes()), Some(id));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: Vec<u8>) {
            let _ = MachineId::parse(&text);
        }
    }
}
