//! Two threads: one reads the image and sums it up, the other one writes.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender},
};

use outcrop_release::{digest::FileDigest, manifest::Member};

use super::{
    buffer::{ALIGNMENT, AlignedBuffer},
    engine::{CHUNK_BYTES, Flash, Written},
    error::FlashError,
    source::Image,
    target::Target,
};
use crate::{disk::units::Extent, progress::Phase, sha256::Sha256};

/// The bytes of the head from `at` on, at most `len`; none behind it.
pub(super) fn head_part(head: &[u8], at: u64, len: usize) -> Option<&[u8]> {
    let rest = head
        .get(usize::try_from(at).ok()?..)
        .filter(|rest| !rest.is_empty())?;
    rest.get(..len.min(rest.len()))
}

/// Writes what comes until nobody sends any more. After a failure nothing more is written; the sender notices.
pub(super) fn write_all(
    target: &mut dyn Target,
    filled: &Receiver<(u64, AlignedBuffer)>,
    spare: &SyncSender<AlignedBuffer>,
) -> io::Result<()> {
    while let Ok((at, buffer)) = filled.recv() {
        target.write(at, buffer.bytes())?;
        // The reader may be through.
        let _ = spare.send(buffer);
    }
    Ok(())
}

/// The half that reads, sums up and hands on.
pub(super) struct Reader<'f, 'a> {
    pub(super) flash: &'f Flash<'a>,
    pub(super) image: &'f mut dyn Image,
    pub(super) head: &'f [u8],
    /// Where in the image the next byte comes from.
    pub(super) at: u64,
    pub(super) full: SyncSender<(u64, AlignedBuffer)>,
    pub(super) empty: Receiver<AlignedBuffer>,
    pub(super) phase: &'f dyn Phase,
}

impl Reader<'_, '_> {
    pub(super) fn run(
        &mut self,
        wanted: &[(Extent, Option<FileDigest>)],
        image_bytes: u64,
    ) -> Result<Vec<Written>, FlashError> {
        let mut done = Vec::new();
        let mut whole = None;
        for (extent, expected) in wanted {
            let digest = self.range(*extent)?;
            if expected.is_some_and(|expected| expected != digest) {
                return Err(self.flash.damaged(format!(
                    "bytes {} to {} aren't those of its block map",
                    extent.start,
                    extent.end()
                )));
            }
            if extent.len == image_bytes {
                whole = Some(digest);
            }
            done.push(Written {
                extent: *extent,
                digest,
            });
        }
        match (&self.flash.sidecars.image, whole) {
            (Some(Member { sha256, .. }), Some(found)) if *sha256 != found => {
                Err(self.flash.damaged("it isn't the image of its manifest"))
            }
            _ => Ok(done),
        }
    }

    /// One range: its digest, once all of it is on its way.
    fn range(&mut self, extent: Extent) -> Result<FileDigest, FlashError> {
        let mut hash = Sha256::new();
        let mut at = extent.start;
        if let Some(bytes) = head_part(self.head, at, usize::try_from(extent.len).unwrap_or(usize::MAX)) {
            // Written last, but part of what was announced.
            hash.update(bytes);
            at += bytes.len() as u64;
            self.phase.advance(bytes.len() as u64);
        }
        while at < extent.end() {
            self.phase.checkpoint()?;
            if at > self.at {
                self.image
                    .skip(at - self.at)
                    .map_err(|source| self.flash.unreadable(source))?;
                self.at = at;
            }
            let Ok(mut buffer) = self.empty.recv() else {
                break; // the writer failed, and says why
            };
            let len = usize::try_from(extent.end() - at)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            buffer.set_len(len.next_multiple_of(ALIGNMENT));
            let chunk = buffer.bytes_mut();
            let (bytes, padding) = chunk.split_at_mut(len);
            let count = self
                .image
                .fill(bytes)
                .map_err(|source| self.flash.unreadable(source))?;
            if count < len {
                return Err(self
                    .flash
                    .damaged(format!("it ends after {} bytes", at + count as u64)));
            }
            padding.fill(0);
            hash.update(bytes);
            if self.full.send((at, buffer)).is_err() {
                break;
            }
            at += len as u64;
            self.at = at;
            self.phase.advance(len as u64);
        }
        Ok(FileDigest::from_bytes(hash.finish()))
    }
}
