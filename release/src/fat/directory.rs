//! Folders: lists of 32-byte entries.

use super::name::{ShortName, checksum, short_text};

/// Length of an entry, in bytes.
pub(super) const ENTRY_BYTES: usize = 32;
/// Attribute of a folder, of the volume's label, and of a long name's entry.
pub(super) const FOLDER: u8 = 0x10;
pub(super) const LABEL: u8 = 0x08;
const LONG: u8 = 0x0f;
/// UTF-16 units of a long name in one entry.
const UNITS: usize = 13;
/// 1980-01-01, the first day that FAT knows; every file has it.
const DATE: u16 = 0x0021;

/// One file, folder or label, as its short entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Short name.
    pub(super) short: ShortName,
    /// Long name, where there is one.
    pub(super) long: Option<String>,
    /// [`FOLDER`], [`LABEL`] or 0.
    pub(super) attributes: u8,
    /// First cluster; 0 for nothing.
    pub(super) cluster: u32,
    /// Length, in bytes; 0 for folders.
    pub(super) len: u32,
}

impl Item {
    /// The name that people use.
    pub(super) fn name(&self) -> String {
        self.long.clone().unwrap_or_else(|| short_text(&self.short))
    }

    /// The entries of this item: those of the long name, from its end to its start, then the short one.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self
            .long
            .as_deref()
            .map(|long| long_entries(long, checksum(&self.short)))
            .unwrap_or_default();
        let mut entry = [0; ENTRY_BYTES];
        let cluster = self.cluster.to_le_bytes();
        entry[..11].copy_from_slice(&self.short);
        entry[11] = self.attributes;
        entry[16..18].copy_from_slice(&DATE.to_le_bytes());
        entry[18..20].copy_from_slice(&DATE.to_le_bytes());
        entry[20..22].copy_from_slice(&cluster[2..]);
        entry[24..26].copy_from_slice(&DATE.to_le_bytes());
        entry[26..28].copy_from_slice(&cluster[..2]);
        entry[28..32].copy_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&entry);
        bytes
    }
}

/// The entries of a long name, last part first.
fn long_entries(name: &str, checksum: u8) -> Vec<u8> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS), 0xffff);
    }
    let parts: Vec<&[u16]> = units.chunks(UNITS).collect();
    let entry = |(part, number): (&&[u16], u8)| {
        let last = if usize::from(number) == parts.len() {
            0x40
        } else {
            0
        };
        let bytes: Vec<u8> = part.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut entry = [0; ENTRY_BYTES];
        entry[0] = number | last;
        entry[1..11].copy_from_slice(&bytes[..10]);
        entry[11] = LONG;
        entry[13] = checksum;
        entry[14..26].copy_from_slice(&bytes[10..22]);
        entry[28..32].copy_from_slice(&bytes[22..]);
        entry
    };
    let entries: Vec<_> = parts.iter().zip(1..).map(entry).collect();
    entries.into_iter().rev().flatten().collect()
}

/// Reads a folder's entries up to the end mark. Long names that don't belong to the entry behind them are dropped.
pub(super) fn parse(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut long: Vec<(u8, [u16; UNITS])> = Vec::new();
    for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
        match (entry[0], entry[11]) {
            (0, _) => break,
            (0xe5, _) => long.clear(),
            (_, attributes) if attributes & 0x3f == LONG => long.push((entry[13], units(entry))),
            _ => items.push(item(entry, &std::mem::take(&mut long))),
        }
    }
    items
}

/// The part of a long name in one entry.
fn units(entry: &[u8; ENTRY_BYTES]) -> [u16; UNITS] {
    let bytes = [&entry[1..11], &entry[14..26], &entry[28..32]].concat();
    let mut units = [0; UNITS];
    for (unit, raw) in units.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *unit = u16::from_le_bytes(*raw);
    }
    units
}

fn item(entry: &[u8; ENTRY_BYTES], long: &[(u8, [u16; UNITS])]) -> Item {
    let mut short = [0; 11];
    short.copy_from_slice(&entry[..11]);
    let half = |offset: usize| u16::from_le_bytes([entry[offset], entry[offset + 1]]);
    let matches = !long.is_empty() && long.iter().all(|(sum, _)| *sum == checksum(&short));
    let units = long
        .iter()
        .rev()
        .flat_map(|(_, units)| *units)
        .take_while(|&unit| unit != 0);
    let name: Vec<u16> = units.collect();
    Item {
        short,
        long: matches.then(|| String::from_utf16_lossy(&name)),
        attributes: entry[11] & (FOLDER | LABEL),
        cluster: u32::from(half(20)) << 16 | u32::from(half(26)),
        len: u32::from(half(30)) << 16 | u32::from(half(28)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::name, *};

    proptest! {
        #[test]
        fn an_item_survives_its_bytes(text in "[a-z]{1,40}(\\.[a-z]{1,5})?", cluster: u32, len: u32) {
            let (short, has_long) = name::short_name(&text, 1);
            let long = has_long.then(|| text.clone());
            let item = Item { short, long, attributes: 0, cluster, len };
            let mut bytes = item.to_bytes();
            bytes.extend([0; 32]);
            prop_assert_eq!(parse(&bytes), [item]);
        }

        #[test]
        fn random_folders_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = parse(&bytes);
        }
    }
}
