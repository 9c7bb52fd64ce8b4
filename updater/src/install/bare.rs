//! The boot payload of a device that can't pack its kernel: patched where the kernel has no entropy coding, which is put back on.
//!
//! The old kernel's bare form, three times as long as the kernel, lies in the scratch; of the new one no more than a block and a group are
//! in memory.

use std::{
    io::{self, BufReader, Read},
    thread,
};

use outcrop_release::{
    bare::{BareEncoder, BareError, bare},
    bundle::PayloadName,
    delta::{BareBoot, BareKernel, OldBytes, Patcher},
    plan::ByteRange,
    verity::BLOCK_BYTES,
};

use super::{
    engine::{Installation, Part},
    error::InstallError,
    old_area::Windows,
    patch::{MadeGroup, blocks_of, kept_in, streams_ahead},
    scratch::Scratch,
    sides::Kept,
    source::Source,
};
use crate::disk::{Area, Disk};

/// Bytes that are read or made at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of an area, from one to another.
struct AreaBytes<'a, D> {
    disk: &'a D,
    area: Area,
    at: u64,
    end: u64,
}

impl<D: Disk> Read for AreaBytes<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let (room, _) = buffer.split_at_mut(left.min(buffer.len()));
        let read = self.disk.read(self.area, self.at, room);
        read.map_err(io::Error::other)?;
        self.at += room.len() as u64;
        Ok(room.len())
    }
}

/// The old payload's expanded form: its kernel's bare form lies in the scratch, the rest in the running slot.
struct OldForm<'a, D, C> {
    disk: &'a D,
    area: Area,
    scratch: &'a C,
    /// Where it begins in the scratch.
    start: u64,
    kernel: BareKernel,
    windows: &'a mut Windows,
}

impl<D: Disk, C: Scratch> OldBytes for OldForm<'_, D, C> {
    type Error = io::Error;

    fn read(&mut self, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let (first, end) = (self.kernel.frame.start, self.kernel.end());
        while !buffer.is_empty() {
            let until = [first, end].into_iter().find(|border| at < *border);
            let count = until.map_or(buffer.len(), |until| {
                usize::try_from(until - at).map_or(buffer.len(), |count| count.min(buffer.len()))
            });
            let (now, later) = buffer.split_at_mut(count);
            if (first..end).contains(&at) {
                let (scratch, start) = (self.scratch, self.start);
                let mut source = |at, buffer: &mut [u8]| scratch.read(start + at, buffer);
                self.windows.read((at - first, now), end - first, &mut source)?;
            } else {
                let place = if at < first {
                    at
                } else {
                    at - end + self.kernel.frame.end()
                };
                let read = self.disk.read(self.area, place, now);
                read.map_err(io::Error::other)?;
            }
            at += count as u64;
            buffer = later;
        }
        Ok(())
    }
}

/// Makes the payload of its expanded form.
struct Rebuilt {
    kernel: BareKernel,
    /// Where in the expanded form the next byte lies.
    at: u64,
    encoder: BareEncoder,
    /// What is made and not written.
    bytes: Vec<u8>,
    /// The group that it begins with.
    group: u32,
}

impl Rebuilt {
    fn push(&mut self, mut form: &[u8]) -> Result<(), BareError> {
        let (first, end) = (self.kernel.frame.start, self.kernel.end());
        while !form.is_empty() {
            let until = [first, end].into_iter().find(|border| self.at < *border);
            let count = until.map_or(form.len(), |until| {
                usize::try_from(until - self.at).map_or(form.len(), |count| count.min(form.len()))
            });
            let (now, later) = form.split_at(count);
            if (first..end).contains(&self.at) {
                self.encoder.push(now, &mut self.bytes)?;
            } else {
                self.bytes.extend_from_slice(now);
            }
            self.at += count as u64;
            form = later;
        }
        Ok(())
    }

    /// The next group, if it is complete, of a payload of `blocks` blocks.
    fn next_group(&mut self, blocks: u32) -> Option<(u32, Vec<[u8; BLOCK_BYTES]>)> {
        let group = self.group;
        let (first, end) = blocks_of(group, blocks);
        let len = (end - first) as usize * BLOCK_BYTES;
        if len == 0 || self.bytes.len() < len {
            return None;
        }
        let made = self.bytes.drain(..len).as_slice().as_chunks().0.to_vec();
        self.group += 1;
        Some((group, made))
    }
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes the groups of the boot payload that come out as they should be.
    pub(super) fn bare_part(&mut self, part: &mut Part<'_>) -> Result<(), InstallError> {
        let found = self.delta.as_deref();
        let Some((boot, old_bytes)) = found.and_then(|found| {
            let old = found.manifest.from.as_ref()?.boot.bytes;
            Some((found.index.bare.clone()?, old))
        }) else {
            return Ok(());
        };
        let start = Kept::new(&*self.scratch, part.manifest)?.end();
        // A kernel that isn't what it should be, or no room in the scratch: the bundle has the blocks.
        if self.keep_old(part.from, &boot.old, start).is_err() {
            return Ok(());
        }
        self.rebuild(part, &boot, old_bytes, start)
    }

    /// Puts the running kernel's bare form into the scratch.
    fn keep_old(&self, area: Area, kernel: &BareKernel, start: u64) -> Result<(), BareError> {
        let frame = AreaBytes {
            disk: &*self.disk,
            area,
            at: kernel.frame.start,
            end: kernel.frame.end(),
        };
        let end = start + u64::from(kernel.bare);
        let mut at = start;
        bare(BufReader::with_capacity(PIECE_BYTES, frame), |chunk| {
            let next = at + chunk.bytes.len() as u64;
            if next > end || self.watch.checkpoint().is_err() {
                return Err(BareError::Io(io::ErrorKind::FileTooLarge.into()));
            }
            self.scratch.write(at, &chunk.bytes)?;
            at = next;
            Ok(())
        })?;
        if at == end {
            Ok(())
        } else {
            Err(BareError::Io(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    fn rebuild(
        &mut self,
        part: &mut Part<'_>,
        boot: &BareBoot,
        old_bytes: u64,
        start: u64,
    ) -> Result<(), InstallError> {
        let old_len = boot.old.expanded_bytes(old_bytes);
        let mut made = Rebuilt {
            kernel: boot.new,
            at: 0,
            encoder: BareEncoder::default(),
            bytes: Vec::new(),
            group: 0,
        };
        let mut at = self.bytes_before_bare();
        for frame in &boot.frames {
            let end = at + u64::from(frame.streams.total().unwrap_or(0));
            let range = ByteRange { start: at, end };
            at = end;
            let Some(bytes) = self.frame(&frame.streams, &frame.sha256, range)? else {
                return Ok(());
            };
            let is_made = thread::scope(|scope| {
                let Ok(streams) = streams_ahead(scope, &frame.streams, &bytes) else {
                    return Ok(false);
                };
                let mut patcher = Patcher::new(streams, frame.streams.code, old_len);
                self.rebuild_frame(part, (boot.old, start), frame.plain, &mut patcher, &mut made)
            })?;
            if !is_made {
                return Ok(()); // what isn't known to be there by now comes from the bundle
            }
        }
        Ok(())
    }

    /// Makes the `plain` bytes of a frame, from the old kernel whose bare form begins at `start` in the scratch. Whether they could be made.
    fn rebuild_frame(
        &mut self,
        part: &mut Part<'_>,
        (kernel, start): (BareKernel, u64),
        plain: u32,
        patcher: &mut Patcher<impl Read>,
        made: &mut Rebuilt,
    ) -> Result<bool, InstallError> {
        let mut left = plain as usize;
        let mut piece = vec![0; PIECE_BYTES];
        let mut windows = Windows::default();
        while left > 0 {
            self.watch.checkpoint()?;
            piece.truncate(left);
            left -= piece.len();
            let mut old = OldForm {
                disk: &*self.disk,
                area: part.from,
                scratch: &*self.scratch,
                start,
                kernel,
                windows: &mut windows,
            };
            if patcher.fill(&mut old, &mut piece).is_err() || made.push(&piece).is_err() {
                return Ok(false);
            }
            self.write_rebuilt(part, made)?;
        }
        Ok(true)
    }

    /// Bytes of the delta's frames before those of the bare form.
    fn bytes_before_bare(&self) -> u64 {
        let index = self.delta.as_deref().map(|delta| &delta.index);
        index.map_or(0, |index| {
            let packed = index.packed.as_ref();
            index.root.bytes()
                + index.boot.bytes()
                + packed.map_or(0, outcrop_release::delta::PackedBoot::bytes)
        })
    }

    fn write_rebuilt(&mut self, part: &mut Part<'_>, made: &mut Rebuilt) -> Result<(), InstallError> {
        debug_assert_eq!(part.payload, PayloadName::Boot);
        let blocks = u32::try_from(part.tree.geometry().data_blocks()).unwrap_or(u32::MAX);
        while let Some((group, blocks)) = made.next_group(blocks) {
            let (first, _) = blocks_of(group, u32::MAX);
            // All of it was read from the medium to be compared.
            let there = kept_in(part, first, blocks.len());
            self.write_group(part, group, &MadeGroup { blocks, there })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use outcrop_release::{bare, units::Extent};

    use super::*;

    #[test]
    fn groups_come_out_whole_and_in_order_however_the_form_comes_in() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        let noise = (0..600_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
        encoder.write_all(&noise.collect::<Vec<u8>>()).unwrap();
        let frame = encoder.finish().unwrap();
        let form: Vec<u8> = bare::prove(&frame)
            .unwrap()
            .into_iter()
            .flat_map(|chunk| chunk.bytes)
            .collect();
        let len = (10 + frame.len()).next_multiple_of(BLOCK_BYTES);
        let behind = vec![2; len - 10 - frame.len()];
        let payload = [&[1; 10], frame.as_slice(), &behind].concat();
        let expanded = [&[1; 10], form.as_slice(), &behind].concat();
        let blocks = u32::try_from(len / BLOCK_BYTES).unwrap();
        assert!(blocks > 300);
        for piece in [1000, PIECE_BYTES, expanded.len()] {
            let mut made = Rebuilt {
                kernel: BareKernel {
                    frame: Extent {
                        start: 10,
                        len: frame.len() as u64,
                    },
                    bare: u32::try_from(form.len()).unwrap(),
                },
                at: 0,
                encoder: BareEncoder::default(),
                bytes: Vec::new(),
                group: 0,
            };
            let mut found = Vec::new();
            for bytes in expanded.chunks(piece) {
                made.push(bytes).unwrap();
                while let Some((group, blocks)) = made.next_group(blocks) {
                    assert_eq!(found.len(), group as usize * 128 * BLOCK_BYTES);
                    found.extend(blocks.into_flattened());
                }
            }
            assert!(found == payload, "{piece}");
        }
    }
}
