//! The boot payload of a device that packs its kernel: both expanded forms in memory, and what zstd needs.

use outcrop_release::{
    delta::{PackedBoot, Patcher},
    packed::{self, PackedKernel, Packer},
    plan::ByteRange,
    verity::BLOCK_BYTES,
};

use std::io::Write as _;

use super::{
    engine::{Installation, Part},
    error::InstallError,
    patch::{MadeGroup, blocks_of, kept_in},
    scratch::Scratch,
    source::Source,
};
use crate::disk::Disk;

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes the groups of the boot payload that packing makes as they should be.
    pub(super) fn pack_part(&mut self, part: &mut Part<'_>) -> Result<(), InstallError> {
        let Some(payload) = self.packed(part)? else {
            return Ok(());
        };
        let blocks = payload.as_chunks::<BLOCK_BYTES>().0;
        let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        for group in 0..count.div_ceil(outcrop_release::delta::GROUP_BLOCKS) {
            self.watch.checkpoint()?;
            let (first, end) = blocks_of(group, count);
            let blocks = blocks
                .get(first as usize..end as usize)
                .unwrap_or_default()
                .to_vec();
            // All of it was read from the medium to be compared.
            let there = kept_in(part, first, blocks.len());
            self.write_group(part, group, &MadeGroup { blocks, there })?;
        }
        Ok(())
    }

    /// The new boot payload; none when it can't be made: nothing of it is proven yet.
    fn packed(&mut self, part: &Part<'_>) -> Result<Option<Vec<u8>>, InstallError> {
        let found = self.delta.as_deref();
        let Some((boot, old)) =
            found.and_then(|found| Some((found.index.packed.clone()?, found.manifest.from.as_ref()?.boot)))
        else {
            return Ok(None);
        };
        let mut payload = vec![0; usize::try_from(old.bytes).unwrap_or_default()];
        if self.disk.read(part.from, 0, &mut payload).is_err() {
            return Ok(None);
        }
        let Some(old) = expanded(&payload, &boot.old) else {
            return Ok(None);
        };
        drop(payload);
        let Some(new) = self.expanded_new(&boot, &old)? else {
            return Ok(None);
        };
        drop(old);
        self.watch.checkpoint()?;
        Ok(pack(&boot, &new).filter(|payload| payload.len() as u64 == part.manifest.boot.bytes))
    }

    /// The new expanded form, from the old one and the delta's frames.
    fn expanded_new(&mut self, boot: &PackedBoot, old: &[u8]) -> Result<Option<Vec<u8>>, InstallError> {
        let index = self.delta.as_deref().map(|delta| &delta.index);
        let mut at = index.map_or(0, |index| index.root.bytes() + index.boot.bytes());
        let mut new = Vec::with_capacity(usize::try_from(boot.expanded_bytes()).unwrap_or_default());
        for frame in &boot.frames {
            let len = u64::from(frame.streams.total().unwrap_or(0));
            let range = ByteRange {
                start: at,
                end: at + len,
            };
            at += len;
            let Some(bytes) = self.frame(&frame.streams, &frame.sha256, range)? else {
                return Ok(None);
            };
            let Ok(streams) = frame.streams.decoders(&bytes) else {
                return Ok(None);
            };
            let mut patcher = Patcher::new(streams, frame.streams.code, old.len() as u64);
            let start = new.len();
            new.resize(start + frame.plain as usize, 0);
            let mut before = old;
            let room = new.get_mut(start..).unwrap_or_default();
            if patcher.fill(&mut before, room).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(new))
    }
}

/// A boot payload with its kernel unpacked; none when there is none at that place.
fn expanded(payload: &[u8], kernel: &PackedKernel) -> Option<Vec<u8>> {
    let start = usize::try_from(kernel.frame.start).ok()?;
    let end = usize::try_from(kernel.frame.end()).ok()?;
    let plain = packed::unpack(payload.get(start..end)?, kernel.plain_len).ok()?;
    Some([payload.get(..start)?, &plain, payload.get(end..)?].concat())
}

/// The boot payload of an expanded form; none when it can't be packed.
fn pack(boot: &PackedBoot, expanded: &[u8]) -> Option<Vec<u8>> {
    let start = usize::try_from(boot.new.frame.start).ok()?;
    let end = start.checked_add(boot.new.plain_len.bytes() as usize)?;
    let mut packer = Packer::new(&boot.recipe, Vec::new()).ok()?;
    packer.write_all(expanded.get(start..end)?).ok()?;
    let frame = packer.finish().ok()?;
    Some([expanded.get(..start)?, &frame, expanded.get(end..)?].concat())
}
