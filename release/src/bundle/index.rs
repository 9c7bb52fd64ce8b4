//! The frame table: which blocks of a payload are in which frame, where the frame lies, and its digest.
//!
//! Frames follow one another without gaps, in the payload and in the member, so that a table needs only lengths. The digest
//! is that of the *compressed* bytes: it is checked before the decompressor sees them.

use crate::{
    digest::FileDigest,
    manifest::{Manifest, Member, Target},
    verity,
};

/// Most blocks of 4096 bytes in a frame: 1 MiB, which a device holds in memory twice (compressed and not).
pub const MAX_FRAME_BLOCKS: u32 = 256;
/// Most that a frame may have grown when it was compressed, in bytes. Source: zstd, `ZSTD_COMPRESSBOUND`, rounded up.
const MAX_GROWTH: u64 = 8192;

const MAGIC: [u8; 8] = *b"OUTCROPI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 40;

/// Some blocks of a payload, compressed by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// How many blocks, from 1 to [`MAX_FRAME_BLOCKS`].
    pub blocks: u32,
    /// Compressed length, in bytes.
    pub bytes: u32,
    /// SHA-256 of the compressed bytes.
    pub sha256: FileDigest,
}

/// The frames of one payload, with where each begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameTable {
    frames: Vec<Frame>,
    /// First block and first byte of each frame, and the ends of the last.
    starts: Vec<(u64, u64)>,
}

/// Both payloads' frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The boot payload's.
    pub boot: FrameTable,
    /// The root file system's.
    pub root: FrameTable,
}

/// Bytes that are no frame table of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The signature, the version or the length is wrong.
    #[error("the bundle's index is damaged, or of a newer format")]
    Form,
    /// A frame is empty, too large, or longer than compressing could make it.
    #[error("frame {0} of the bundle's index can't be: {1} blocks in {2} bytes")]
    Frame(usize, u32, u32),
    /// The frames don't add up to what the manifest says.
    #[error("the frames of the {payload} hold {found} {unit}, the manifest says {expected}")]
    Sum {
        /// Which payload.
        payload: &'static str,
        /// Blocks or bytes.
        unit: &'static str,
        /// What the frames hold.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
}

impl FrameTable {
    /// Puts frames in order.
    ///
    /// # Errors
    /// [`IndexError::Frame`] for one that can't be.
    pub fn new(frames: Vec<Frame>) -> Result<Self, IndexError> {
        let mut starts = Vec::with_capacity(frames.len() + 1);
        let (mut block, mut byte) = (0_u64, 0_u64);
        for (number, frame) in frames.iter().enumerate() {
            let Frame { blocks, bytes, .. } = *frame;
            let longest = u64::from(blocks) * verity::BLOCK_BYTES as u64 + MAX_GROWTH;
            if blocks == 0 || blocks > MAX_FRAME_BLOCKS || bytes == 0 || u64::from(bytes) > longest {
                return Err(IndexError::Frame(number, blocks, bytes));
            }
            starts.push((block, byte));
            block += u64::from(blocks);
            byte += u64::from(bytes);
        }
        starts.push((block, byte));
        Ok(Self { frames, starts })
    }

    /// All frames, in order.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// First block and first byte (from the member's start) of a frame.
    #[must_use]
    pub fn start(&self, frame: usize) -> Option<(u64, u64)> {
        self.starts
            .get(frame)
            .copied()
            .filter(|_| frame < self.frames.len())
    }

    /// The frame that holds a block; none past the end.
    #[must_use]
    pub fn frame_of(&self, block: u64) -> Option<usize> {
        let after = self.starts.partition_point(|(first, _)| *first <= block);
        after.checked_sub(1).filter(|frame| *frame < self.frames.len())
    }

    /// Blocks and bytes of all frames.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.starts.last().copied().unwrap_or_default()
    }

    fn check(&self, payload: &'static str, target: &Target, member: &Member) -> Result<(), IndexError> {
        let (blocks, bytes) = self.totals();
        let sums = [
            ("blocks", blocks, target.bytes / verity::BLOCK_BYTES as u64),
            ("bytes", bytes, member.bytes),
        ];
        match sums.into_iter().find(|(_, found, expected)| found != expected) {
            None => Ok(()),
            Some((unit, found, expected)) => Err(IndexError::Sum {
                payload,
                unit,
                found,
                expected,
            }),
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        for frame in &self.frames {
            bytes.extend(frame.blocks.to_le_bytes());
            bytes.extend(frame.bytes.to_le_bytes());
            bytes.extend(frame.sha256.as_bytes());
        }
    }
}

impl Index {
    /// The member's bytes: a header of 32 bytes (signature, version, numbers of boot and root frames, zeros), then 40 for
    /// each frame (blocks, bytes, SHA-256). Numbers are little-endian, of 32 bits.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = |table: &FrameTable| u32::try_from(table.frames.len()).unwrap_or(u32::MAX);
        let mut bytes = MAGIC.to_vec();
        for number in [VERSION, count(&self.boot), count(&self.root)] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.resize(HEADER_BYTES, 0);
        self.boot.encode(&mut bytes);
        self.root.encode(&mut bytes);
        bytes
    }

    /// Reads the member of a release and checks that its frames are all of the release.
    ///
    /// # Errors
    /// See [`IndexError`]. Nothing is allocated that `bytes` doesn't hold.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, IndexError> {
        let (header, entries) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(IndexError::Form)?;
        let (magic, numbers) = header.split_first_chunk::<8>().ok_or(IndexError::Form)?;
        let mut words = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word));
        let mut word = || words.next().unwrap_or_default();
        let (version, boot, root) = (word(), word(), word());
        if *magic != MAGIC || version != VERSION || words.any(|word| word != 0) {
            return Err(IndexError::Form);
        }
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || entries.len() as u64 != u64::from(boot) + u64::from(root) {
            return Err(IndexError::Form);
        }
        let at = usize::try_from(boot).map_err(|_| IndexError::Form)?;
        let (boot, root) = entries.split_at_checked(at).ok_or(IndexError::Form)?;
        let table = |entries: &[[u8; ENTRY_BYTES]]| FrameTable::new(entries.iter().map(frame).collect());
        let index = Self {
            boot: table(boot)?,
            root: table(root)?,
        };
        let Manifest { members, .. } = manifest;
        index.boot.check("boot payload", &manifest.boot, &members.boot)?;
        index
            .root
            .check("root file system", &manifest.root, &members.root)?;
        Ok(index)
    }
}

fn frame(entry: &[u8; ENTRY_BYTES]) -> Frame {
    let word = |at: usize| {
        let bytes = std::array::from_fn(|index| entry.get(at + index).copied().unwrap_or_default());
        u32::from_le_bytes(bytes)
    };
    let digest = std::array::from_fn(|index| entry.get(8 + index).copied().unwrap_or_default());
    Frame {
        blocks: word(0),
        bytes: word(4),
        sha256: FileDigest::from_bytes(digest),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::tests::manifest;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let one = (1..=MAX_FRAME_BLOCKS, 1..=4096_u32, any::<[u8; 32]>());
        let frame = one.prop_map(|(blocks, bytes, digest)| Frame {
            blocks,
            bytes,
            sha256: FileDigest::from_bytes(digest),
        });
        proptest::collection::vec(frame, 1..40)
    }

    /// A manifest of a release that consists of these frames.
    fn manifest_of(index: &Index) -> Manifest {
        let mut manifest = manifest();
        let tables = [
            (&index.boot, &mut manifest.boot, &mut manifest.members.boot),
            (&index.root, &mut manifest.root, &mut manifest.members.root),
        ];
        for (table, target, member) in tables {
            let (blocks, bytes) = table.totals();
            (target.bytes, member.bytes) = (blocks * 4096, bytes);
        }
        manifest
    }

    proptest! {
        #[test]
        fn an_index_survives_being_written_and_read(boot in frames(), root in frames()) {
            let index = Index { boot: FrameTable::new(boot).unwrap(), root: FrameTable::new(root).unwrap() };
            prop_assert_eq!(Index::decode(&index.encode(), &manifest_of(&index)), Ok(index));
        }

        #[test]
        fn every_block_is_in_the_frame_that_is_found_for_it(frames in frames()) {
            let table = FrameTable::new(frames).unwrap();
            let (blocks, _) = table.totals();
            for block in 0..blocks {
                let frame = table.frame_of(block).unwrap();
                let (first, _) = table.start(frame).unwrap();
                prop_assert!(first <= block && block < first + u64::from(table.frames()[frame].blocks));
            }
            prop_assert_eq!(table.frame_of(blocks), None);
        }

        #[test]
        fn a_cut_or_longer_index_is_refused(boot in frames(), root in frames(), cut in 0..1000_usize) {
            let index = Index { boot: FrameTable::new(boot).unwrap(), root: FrameTable::new(root).unwrap() };
            let (bytes, manifest) = (index.encode(), manifest_of(&index));
            prop_assert!(Index::decode(&bytes[..cut.min(bytes.len() - 1)], &manifest).is_err());
            prop_assert!(Index::decode(&[&bytes[..], &[0; 40]].concat(), &manifest).is_err());
        }
    }

    #[test]
    fn frames_that_can_t_be_are_refused() {
        for (blocks, bytes) in [(0, 1), (MAX_FRAME_BLOCKS + 1, 1), (1, 0), (1, 4096 + 8192 + 1)] {
            let frame = Frame {
                blocks,
                bytes,
                sha256: FileDigest::of(b""),
            };
            assert_eq!(
                FrameTable::new(vec![frame]),
                Err(IndexError::Frame(0, blocks, bytes))
            );
        }
    }

    #[test]
    fn frames_that_are_not_all_of_the_release_are_refused() {
        let one = Frame {
            blocks: 2,
            bytes: 100,
            sha256: FileDigest::of(b""),
        };
        let table = || FrameTable::new(vec![one]).unwrap();
        let index = Index {
            boot: table(),
            root: table(),
        };
        let mut manifest = manifest_of(&index);
        manifest.root.bytes += 4096;
        let error = Index::decode(&index.encode(), &manifest).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the frames of the root file system hold 2 blocks, the manifest says 3"
        );
        let mut manifest = manifest_of(&index);
        manifest.members.boot.bytes -= 1;
        assert!(Index::decode(&index.encode(), &manifest).is_err());
    }
}
