//! Folders: blocks of entries sorted by name, `.` and `..` included, so that a name is found by bisection.
//!
//! A block is an array of 12-byte entries (inode number, place of the name, type), then the names. A name ends where
//! the next begins; the last one at a NUL byte or at the end of the block.
//! Format: "Core On-disk Format", section Directories, in the documentation of EROFS at kernel.org.

use super::{
    fields::Fields,
    inode::FileType,
    superblock::{BLOCK, BLOCK_BYTES},
};

/// Bytes of an entry without its name.
pub(super) const ENTRY_BYTES: usize = 12;

/// One name in a folder; `I` is the inode: its number, or what stands for it before numbers are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name<I> {
    pub(super) name: Vec<u8>,
    pub(super) inode: I,
    pub(super) kind: FileType,
}

/// The names of a folder, cut into blocks.
#[derive(Debug, Clone)]
pub(super) struct Listing<I> {
    blocks: Vec<Vec<Name<I>>>,
    size: u64,
}

impl<I> Listing<I> {
    /// Sorts `names` and cuts them into blocks. No name is longer than 255 bytes, so none exceeds a block.
    pub(super) fn new(mut names: Vec<Name<I>>) -> Self {
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut blocks: Vec<Vec<Name<I>>> = Vec::new();
        let mut used = BLOCK_BYTES;
        for name in names {
            let bytes = ENTRY_BYTES + name.name.len();
            match blocks.last_mut().filter(|_| used + bytes <= BLOCK_BYTES) {
                Some(block) => {
                    used += bytes;
                    block.push(name);
                }
                None => {
                    used = bytes;
                    blocks.push(vec![name]);
                }
            }
        }
        let size = (blocks.len() as u64)
            .checked_sub(1)
            .map_or(0, |full| full * BLOCK + used as u64);
        Self { blocks, size }
    }

    /// The folder's `st_size`: every block but the last counts whole.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The folder's bytes, [`Listing::size`] of them. `number` gives each inode its number.
    pub(super) fn encode(&self, number: impl Fn(&I) -> u64) -> Vec<u8> {
        let mut out = Vec::new();
        for block in &self.blocks {
            out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
            encode_block(&mut out, block, &number);
        }
        out
    }
}

fn encode_block<I>(out: &mut Vec<u8>, block: &[Name<I>], number: &impl Fn(&I) -> u64) {
    let mut place = u16::try_from(block.len() * ENTRY_BYTES).unwrap_or(u16::MAX); // a block has 4096 bytes
    for entry in block {
        out.extend(number(&entry.inode).to_le_bytes());
        out.extend(place.to_le_bytes());
        out.extend([entry.kind as u8, 0]);
        place = place.saturating_add(u16::try_from(entry.name.len()).unwrap_or(u16::MAX));
    }
    for entry in block {
        out.extend(&entry.name);
    }
}

/// A directory entry as read: the type is what the entry claims.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u64,
    pub(super) kind: u8,
}

/// Reads one block of a folder (shorter than [`BLOCK_BYTES`] when it is the last); none when it is malformed.
pub(super) fn decode_block(block: &[u8]) -> Option<Vec<RawEntry<'_>>> {
    let first = usize::from(Fields(block.get(8..)?).u16()?);
    if first == 0 || !first.is_multiple_of(ENTRY_BYTES) || first > block.len() {
        return None;
    }
    let mut entries = Vec::with_capacity(first / ENTRY_BYTES);
    let mut heads = block.get(..first)?.chunks_exact(ENTRY_BYTES).peekable();
    let mut begin = first;
    while let Some(head) = heads.next() {
        let mut fields = Fields(head);
        let (inode, _place, kind) = (fields.u64()?, fields.u16()?, fields.u8()?);
        let next = heads.peek().map(|next| Fields(next.get(8..)?).u16());
        let name = match next {
            Some(next) => block.get(begin..usize::from(next?))?,
            None => block.get(begin..)?.split(|byte| *byte == 0).next()?,
        };
        entries.push(RawEntry { name, inode, kind });
        begin += name.len();
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[String]) -> Listing<u64> {
        let names = names.iter().enumerate().map(|(number, name)| Name {
            name: name.as_bytes().to_vec(),
            inode: number as u64,
            kind: FileType::Regular,
        });
        Listing::new(names.collect())
    }

    #[test]
    fn a_folder_of_several_blocks_reads_back_sorted() {
        let names: Vec<String> = (0..300)
            .rev()
            .map(|number| format!("{number:03}{}", "x".repeat(number % 200)))
            .collect();
        let encoded = listing(&names).encode(|number| *number + 1000);
        assert_eq!(encoded.len() as u64, listing(&names).size());
        let read: Vec<_> = encoded
            .chunks(BLOCK_BYTES)
            .flat_map(|block| decode_block(block).unwrap())
            .collect();
        assert!(read.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(read.len(), 300);
        assert_eq!(read[0].inode, 1299);
    }

    #[test]
    fn a_full_block_ends_with_its_last_name() {
        // 16 names of 244 bytes and their entries fill 4096 bytes exactly
        let names: Vec<String> = (10..26)
            .map(|number| format!("{number}{}", "y".repeat(242)))
            .collect();
        assert_eq!(listing(&names).size(), 4096);
        let encoded = listing(&names).encode(|number| *number);
        assert_eq!(decode_block(&encoded).unwrap().last().unwrap().name.len(), 244);
    }

    #[test]
    fn names_that_lie_outside_the_block_are_refused() {
        let good = listing(&["a".to_owned(), "b".to_owned()]).encode(|number| *number);
        for (at, value) in [(8, 0), (8, 11), (8, 36), (20, 0xff), (20, 0)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(decode_block(&bad), None, "byte {at} = {value}");
        }
        assert_eq!(decode_block(&[]), None);
    }
}
