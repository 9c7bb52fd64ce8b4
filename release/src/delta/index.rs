//! A delta's index: spans, frames, and the hashes that differ.
//!
//! Numbers are LEB128, digests 32 bytes. Source of the layout: docs/formats.md, "Deltas".

use std::io;

use super::{
    bare::BareBoot,
    code::Code,
    frame::{FrameStreams, MAX_GROUPS, PatchFrame},
    packed::PackedBoot,
    span::{GROUP_BLOCKS, Spans, array},
    varint,
};
use crate::{
    digest::FileDigest,
    manifest::Target,
    plan::ByteRange,
    verity::{BLOCK_BYTES, BlockHash},
};

const MAGIC: [u8; 8] = *b"OUTCROPD";
/// 2: frames of code, and the boot payload by way of the kernel's bare form.
const VERSION: u64 = 2;
/// Fewest bytes of a frame in the index.
const MIN_FRAME_BYTES: usize = 32 + 6;
/// Fewest bytes of a hash in the index.
const MIN_HASH_BYTES: usize = 32 + 1;

/// How one payload is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadDelta {
    /// Where its blocks come from.
    pub spans: Spans,
    /// What patched blocks are made with: groups ascending, none in two frames.
    pub frames: Vec<PatchFrame>,
    /// Hashes of the new tree's leaf blocks that differ from those of the old tree at the same place, by their number (the
    /// group's), ascending. With a single leaf block there are none: its hash is the root hash.
    pub hashes: Vec<(u32, BlockHash)>,
}

/// The index of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaIndex {
    /// The root file system.
    pub root: PayloadDelta,
    /// The boot payload.
    pub boot: PayloadDelta,
    /// The boot payload for devices that can pack its kernel, where that makes the delta smaller.
    pub packed: Option<PackedBoot>,
    /// The boot payload by way of its kernel's bare form, where that makes the delta smaller.
    pub bare: Option<BareBoot>,
}

/// Bytes that are no index of a delta.
#[derive(Debug, thiserror::Error)]
pub enum DeltaIndexError {
    /// The signature is another, numbers are malformed, or bytes are missing or left over.
    #[error("the delta's index is damaged")]
    Form(#[source] io::Error),
    /// It is of a format that this program doesn't read: another version of Outcrop made it.
    #[error(
        "the delta's index has format {0}, not {VERSION}: make the delta again with the version of outcrop that made the release"
    )]
    Version(u64),
    /// Spans aren't all blocks of the payload.
    #[error("the delta's spans make {found} blocks of the {payload}, which has {expected}")]
    Blocks {
        /// Which payload.
        payload: &'static str,
        /// Blocks of all spans.
        found: u32,
        /// Blocks of the payload.
        expected: u64,
    },
    /// Patched blocks in no frame, frames without any, or groups that no payload has.
    #[error("the delta's frames aren't those of the {payload}'s patched blocks")]
    Frames {
        /// Which payload.
        payload: &'static str,
    },
    /// Frames don't fill the data member.
    #[error("the delta's frames have {found} bytes, its data {expected}")]
    Data {
        /// What the frames have.
        found: u64,
        /// What the delta's manifest says.
        expected: u64,
    },
}

impl PayloadDelta {
    /// Where each frame lies among the payload's frames, in bytes.
    pub fn ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.frames.iter().scan(0, |at, frame| {
            let start = *at;
            *at += u64::from(frame.streams.total().unwrap_or(0));
            Some(ByteRange { start, end: *at })
        })
    }

    /// Bytes of all frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.frames
            .iter()
            .filter_map(|frame| frame.streams.total())
            .map(u64::from)
            .sum()
    }

    /// The blocks of a frame: its first one and the one behind its last.
    #[must_use]
    pub fn blocks_of(&self, frame: &PatchFrame) -> (u32, u32) {
        let end = frame.end_group().saturating_mul(GROUP_BLOCKS);
        (
            frame.first_group.saturating_mul(GROUP_BLOCKS),
            end.min(self.spans.blocks()),
        )
    }

    /// Whether the leaf block of a group differs from the old one, and its hash then.
    #[must_use]
    pub fn hash_of(&self, group: u32) -> Option<BlockHash> {
        let place = self
            .hashes
            .binary_search_by_key(&group, |(group, _)| *group)
            .ok()?;
        self.hashes.get(place).map(|(_, hash)| *hash)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.spans.encode(out);
        varint::put(out, self.frames.len() as u64);
        let mut next = 0;
        for frame in &self.frames {
            varint::put(out, u64::from(frame.first_group.saturating_sub(next)));
            varint::put(out, u64::from(frame.groups));
            encode_streams(out, &frame.streams, &frame.sha256);
            next = frame.end_group();
        }
        varint::put(out, self.hashes.len() as u64);
        let mut next = 0;
        for (group, hash) in &self.hashes {
            varint::put(out, u64::from(group.saturating_sub(next)));
            out.extend_from_slice(hash);
            next = group.saturating_add(1);
        }
    }

    fn decode(from: &mut &[u8], old_blocks: u32) -> io::Result<Self> {
        let spans = Spans::decode(from, old_blocks)?;
        let mut frames = Vec::with_capacity(count(from, MIN_FRAME_BYTES)?);
        let mut next = 0_u32;
        for _ in 0..frames.capacity() {
            let first_group = next.checked_add(varint::get_u32(from)?).ok_or_else(wrong)?;
            let groups = varint::get_u32(from)?;
            next = first_group.checked_add(groups).ok_or_else(wrong)?;
            if !(1..=MAX_GROUPS).contains(&groups) {
                return Err(wrong());
            }
            let (streams, sha256) = decode_streams(from)?;
            frames.push(PatchFrame {
                first_group,
                groups,
                streams,
                sha256,
            });
        }
        let mut hashes = Vec::with_capacity(count(from, MIN_HASH_BYTES)?);
        let mut next = 0_u32;
        for _ in 0..hashes.capacity() {
            let group = next.checked_add(varint::get_u32(from)?).ok_or_else(wrong)?;
            next = group.checked_add(1).ok_or_else(wrong)?;
            hashes.push((group, array(from)?));
        }
        Ok(Self {
            spans,
            frames,
            hashes,
        })
    }

    fn check(&self, payload: &'static str, target: &Target) -> Result<(), DeltaIndexError> {
        let expected = target.bytes / BLOCK_BYTES as u64;
        let found = self.spans.blocks();
        if u64::from(found) != expected {
            return Err(DeltaIndexError::Blocks {
                payload,
                found,
                expected,
            });
        }
        let wrong = || DeltaIndexError::Frames { payload };
        let groups = found.div_ceil(GROUP_BLOCKS);
        let mut patched = 0;
        for frame in &self.frames {
            let (first, end) = self.blocks_of(frame);
            let here = self.spans.patched(first, end);
            if here == 0 || frame.end_group() > groups {
                return Err(wrong());
            }
            patched += here;
        }
        let is_hash_of_a_group = self.hashes.last().is_none_or(|(group, _)| *group < groups);
        if patched == self.spans.patched(0, found) && is_hash_of_a_group {
            Ok(())
        } else {
            Err(wrong())
        }
    }
}

impl DeltaIndex {
    /// The member's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        varint::put(&mut out, VERSION);
        self.root.encode(&mut out);
        self.boot.encode(&mut out);
        match &self.packed {
            None => out.push(0),
            Some(packed) => {
                out.push(1);
                packed.encode(&mut out);
            }
        }
        match &self.bare {
            None => out.push(0),
            Some(bare) => {
                out.push(1);
                bare.encode(&mut out);
            }
        }
        out
    }

    /// Reads the index of a delta from old payloads (root, boot payload; none is from nothing) to new ones, whose frames are `data`
    /// bytes long.
    ///
    /// # Errors
    /// See [`DeltaIndexError`]. Nothing is allocated that `bytes` doesn't hold; no span leads out of the old payloads.
    pub fn decode(
        mut bytes: &[u8],
        old: Option<(&Target, &Target)>,
        new: (&Target, &Target),
        data: u64,
    ) -> Result<Self, DeltaIndexError> {
        let blocks = |target: &Target| u32::try_from(target.bytes / BLOCK_BYTES as u64).unwrap_or(u32::MAX);
        let (old_root, old_boot) = old.map_or((0, 0), |(root, boot)| (blocks(root), blocks(boot)));
        let version = version(&mut bytes).map_err(DeltaIndexError::Form)?;
        if version != VERSION {
            return Err(DeltaIndexError::Version(version));
        }
        let index = Self::read(&mut bytes, old_root, old_boot).map_err(DeltaIndexError::Form)?;
        if !bytes.is_empty() {
            return Err(DeltaIndexError::Form(wrong()));
        }
        let (root, boot) = new;
        index.root.check("root file system", root)?;
        index.boot.check("boot payload", boot)?;
        let packed = index.packed.as_ref().map_or(0, PackedBoot::bytes);
        let bare = index.bare.as_ref().map_or(0, BareBoot::bytes);
        let found = index.root.bytes() + index.boot.bytes() + packed + bare;
        if found != data {
            let expected = data;
            return Err(DeltaIndexError::Data { found, expected });
        }
        Ok(index)
    }

    fn read(from: &mut &[u8], old_root: u32, old_boot: u32) -> io::Result<Self> {
        let root = PayloadDelta::decode(from, old_root)?;
        let boot = PayloadDelta::decode(from, old_boot)?;
        let packed = match array(from)? {
            [0] => None,
            [1] => Some(PackedBoot::decode(from)?),
            _ => return Err(wrong()),
        };
        let bare = match array(from)? {
            [0] => None,
            [1] => Some(BareBoot::decode(from)?),
            _ => return Err(wrong()),
        };
        Ok(Self {
            root,
            boot,
            packed,
            bare,
        })
    }
}

/// The version that follows the signature.
fn version(from: &mut &[u8]) -> io::Result<u64> {
    if array(from)? == MAGIC {
        varint::get(from)
    } else {
        Err(wrong())
    }
}

pub(super) fn encode_streams(out: &mut Vec<u8>, streams: &FrameStreams, sha256: &FileDigest) {
    for len in [streams.control, streams.difference, streams.extra] {
        varint::put(out, len.into());
    }
    varint::put(out, streams.code.number());
    out.extend_from_slice(sha256.as_bytes());
}

pub(super) fn decode_streams(from: &mut &[u8]) -> io::Result<(FrameStreams, FileDigest)> {
    let streams = FrameStreams {
        control: varint::get_u32(from)?,
        difference: varint::get_u32(from)?,
        extra: varint::get_u32(from)?,
        code: Code::of_number(varint::get(from)?).ok_or_else(wrong)?,
    };
    streams.total().ok_or_else(wrong)?;
    Ok((streams, FileDigest::from_bytes(array(from)?)))
}

/// A count of things that have at least `least` bytes each, which must be there.
pub(super) fn count(from: &mut &[u8], least: usize) -> io::Result<usize> {
    let count = usize::try_from(varint::get(from)?).map_err(|_| wrong())?;
    if count > from.len() / least {
        return Err(wrong());
    }
    Ok(count)
}

pub(super) fn wrong() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::{super::BareKernel, *};
    use crate::{delta::PackedFrame, digest::RootHash, units::Extent};

    fn target() -> Target {
        Target {
            bytes: 3 * BLOCK_BYTES as u64,
            root_hash: RootHash::from_bytes([0; 32]),
        }
    }

    /// An index of old blocks alone, and a boot payload by way of its kernel's bare form.
    fn index() -> DeltaIndex {
        let mut payload = PayloadDelta::default();
        (0..3).for_each(|block| payload.spans.push(super::super::SpanSource::Old(block)));
        let kernel = BareKernel {
            frame: Extent {
                start: 100,
                len: 2000,
            },
            bare: 8000,
        };
        DeltaIndex {
            root: payload.clone(),
            boot: payload,
            packed: None,
            bare: Some(BareBoot {
                old: kernel,
                new: kernel,
                frames: vec![PackedFrame {
                    plain: 9000,
                    streams: FrameStreams {
                        control: 1,
                        difference: 2,
                        extra: 3,
                        code: Code::Arm64,
                    },
                    sha256: FileDigest::of(b"frame"),
                }],
            }),
        }
    }

    fn decoded(bytes: &[u8], data: u64) -> Result<DeltaIndex, DeltaIndexError> {
        let target = target();
        DeltaIndex::decode(bytes, Some((&target, &target)), (&target, &target), data)
    }

    #[test]
    fn an_index_survives_being_written_and_its_frames_fill_the_data() {
        let index = index();
        assert_eq!(decoded(&index.encode(), 6).unwrap(), index);
        let error = decoded(&index.encode(), 7).unwrap_err();
        assert!(matches!(
            error,
            DeltaIndexError::Data {
                found: 6,
                expected: 7
            }
        ));
    }

    #[test]
    fn an_index_of_another_format_is_told_apart_from_a_damaged_one() {
        let mut bytes = index().encode();
        bytes[MAGIC.len()] = 1;
        let error = decoded(&bytes, 6).unwrap_err();
        assert!(matches!(error, DeltaIndexError::Version(1)), "{error:?}");
        bytes[0] ^= 1;
        let error = decoded(&bytes, 6).unwrap_err();
        assert!(matches!(error, DeltaIndexError::Form(_)), "{error:?}");
        let bytes = index().encode();
        for cut in 0..bytes.len() {
            assert!(decoded(&bytes[..cut], 6).is_err(), "{cut}");
        }
    }
}
