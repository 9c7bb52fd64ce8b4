//! The binary indexes that libkmod looks modules up in: it doesn't read the text forms.
//!
//! A trie with common prefixes folded, all numbers big-endian:
//!
//! ```text
//! file    magic u32 = 0xB007F457, version u32 = 0x00020001, root u32
//! node    [prefix bytes, NUL] [first u8, last u8, child u32 * (last - first + 1)] [count u32, values]
//! value   priority u32, text bytes, NUL
//! ```
//! A reference to a node is its file offset in the low 28 bits; the high bits say which of the three parts it has.
//! Source: the comment at the head of kmod's `libkmod/libkmod-index.c`; checked against depmod's files.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xb007_f457;
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// Offsets must stay below the flags.
const MAX_OFFSET: usize = 0x0fff_ffff;

/// An index under construction: keys, each with values in the order of their priority (the smallest first).
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    entries: BTreeMap<Vec<u8>, Vec<(u32, String)>>,
}

impl Index {
    /// Adds a value. Keys that aren't ASCII can't be indexed and can't be asked for: no device has such an alias.
    pub(super) fn insert(&mut self, key: &str, value: &str, priority: u32) {
        if key.is_ascii() && value.is_ascii() {
            self.entries
                .entry(key.as_bytes().to_vec())
                .or_default()
                .push((priority, value.to_owned()));
        }
    }

    /// The file. None when it would be larger than offsets can say (256 MiB).
    pub(super) fn into_bytes(mut self) -> Option<Vec<u8>> {
        for values in self.entries.values_mut() {
            values.sort();
            values.dedup();
        }
        let entries: Vec<Entry<'_>> = self
            .entries
            .iter()
            .map(|(key, values)| (key.as_slice(), values.as_slice()))
            .collect();
        let mut out = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            out.extend(word.to_be_bytes());
        }
        let root = write_node(&mut out, &entries, 0)?;
        out.get_mut(8..12)?.copy_from_slice(&root.to_be_bytes());
        Some(out)
    }
}

/// A key and its values.
type Entry<'a> = (&'a [u8], &'a [(u32, String)]);
/// Sorted by key.
type Entries<'a> = [Entry<'a>];

/// Writes the node for sorted `entries`, whose first `depth` bytes are equal and dealt with; its children first.
/// Returns the reference to it.
fn write_node(out: &mut Vec<u8>, entries: &Entries<'_>, depth: usize) -> Option<u32> {
    let prefix = common_prefix(entries, depth);
    let end = depth + prefix.len();
    let (here, deeper) = entries.split_at(entries.partition_point(|(key, _)| key.len() == end));
    let mut children = BTreeMap::new();
    for group in deeper.chunk_by(|a, b| a.0.get(end) == b.0.get(end)) {
        let byte = *group.first()?.0.get(end)?;
        children.insert(byte, write_node(out, group, end + 1)?);
    }
    let offset = Some(out.len()).filter(|offset| *offset <= MAX_OFFSET)?;
    let mut reference = u32::try_from(offset).ok()?;
    if !prefix.is_empty() {
        reference |= HAS_PREFIX;
        out.extend(prefix);
        out.push(0);
    }
    if let (Some((first, _)), Some((last, _))) = (children.first_key_value(), children.last_key_value()) {
        reference |= HAS_CHILDREN;
        out.extend([*first, *last]);
        for byte in *first..=*last {
            out.extend(children.get(&byte).copied().unwrap_or(0).to_be_bytes());
        }
    }
    if let Some((_, values)) = here.first() {
        reference |= HAS_VALUES;
        write_values(out, values)?;
    }
    Some(reference)
}

fn write_values(out: &mut Vec<u8>, values: &[(u32, String)]) -> Option<()> {
    out.extend(u32::try_from(values.len()).ok()?.to_be_bytes());
    for (priority, text) in values {
        out.extend(priority.to_be_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    Some(())
}

/// What follows `depth` in every key. Entries are sorted, so the first and the last decide.
fn common_prefix<'a>(entries: &Entries<'a>, depth: usize) -> &'a [u8] {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else {
        return &[];
    };
    let first = first.get(depth..).unwrap_or_default();
    let last = last.get(depth..).unwrap_or_default();
    let length = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    first.get(..length).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod reading {
    //! An index read back, by what the format says.

    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn text(bytes: &[u8], at: usize) -> String {
        let end = at + bytes[at..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(bytes[at..end].to_vec()).unwrap()
    }

    /// Every key with its values, as priority and text.
    pub(in super::super) fn entries(bytes: &[u8]) -> Vec<(String, u32, String)> {
        assert_eq!((word(bytes, 0), word(bytes, 4)), (MAGIC, VERSION));
        let mut found = Vec::new();
        node(bytes, word(bytes, 8), String::new(), &mut found);
        found.sort();
        found
    }

    fn node(bytes: &[u8], reference: u32, mut key: String, found: &mut Vec<(String, u32, String)>) {
        let mut at = (reference & 0x0fff_ffff) as usize;
        if reference & HAS_PREFIX != 0 {
            let prefix = text(bytes, at);
            at += prefix.len() + 1;
            key.push_str(&prefix);
        }
        if reference & HAS_CHILDREN != 0 {
            let (first, last) = (bytes[at], bytes[at + 1]);
            at += 2;
            for byte in first..=last {
                let child = word(bytes, at);
                at += 4;
                if child != 0 {
                    node(bytes, child, format!("{key}{}", char::from(byte)), found);
                }
            }
        }
        if reference & HAS_VALUES != 0 {
            let count = word(bytes, at);
            at += 4;
            for _ in 0..count {
                let value = text(bytes, at + 4);
                found.push((key.clone(), word(bytes, at), value.clone()));
                at += 4 + value.len() + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_is_found_again_with_its_values(
            entries in prop::collection::btree_set(("[a-c:*]{0,6}", 0..9_u32, "[a-z]{1,4}"), 0..40)
        ) {
            let mut index = Index::default();
            for (key, priority, value) in &entries {
                index.insert(key, value, *priority);
            }
            let expected: Vec<_> = entries.into_iter().collect();
            prop_assert_eq!(reading::entries(&index.into_bytes().unwrap()), expected);
        }
    }
}
