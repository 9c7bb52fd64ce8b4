//! Names of OSTree objects.

use std::fmt;

use ostree::glib::Variant;

use crate::sha256::Sha256;

/// Checksum of an OSTree object: SHA-256 of its serialised form. Text form: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Checksum([u8; 32]);

impl Checksum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes))
    }

    pub(super) fn finish(hash: Sha256) -> Self {
        Self(hash.finish())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub(super) fn from_variant(value: &Variant) -> Option<Self> {
        Some(Self(value.fixed_array::<u8>().ok()?.try_into().ok()?))
    }

    /// As `ay`.
    pub(super) fn to_variant(self) -> Variant {
        Variant::array_from_fixed_array(&self.0)
    }

    /// Where the object lies below `objects`: the first two digits, the others with the type's name.
    pub(super) fn loose_path(&self, kind: &str) -> String {
        let text = hex::encode(self.0);
        let (folder, rest) = text.split_at(2);
        format!("{folder}/{rest}.{kind}")
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
