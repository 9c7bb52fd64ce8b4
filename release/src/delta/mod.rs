//! Deltas: how a device that has one release makes the next from it, for a fraction of its bytes.
//!
//! A delta belongs to one pair of releases, or makes one release from nothing (its *whole*, compressed as well as a device can
//! unpack). It says for each block of the new payloads where it comes from: [`Span`]s of blocks that the old payload has somewhere,
//! and spans that [`Patcher`] makes of old bytes and of what the delta's frames hold. It authenticates nothing: whatever comes out is
//! compared with the new release's signed hash trees before it is written. Yet it is signed itself, so that decompressors see
//! only bytes that somebody trusted made.
//!
//! ```text
//! delta.json        which releases, digests of the members below
//! signatures.json   who signed delta.json
//! index             spans, frames, hashes of the new trees' leaf blocks that differ from the old
//! data              frames, each three LZMA streams: control, difference, extra
//! ```
//! A device reads the first three, compares what it has with the spans, and fetches the frames whose groups it lacks.
//! A *group* is the 128 data blocks below one leaf block of a hash tree: what is proven and written together.

mod archive;
mod bare;
mod code;
mod frame;
mod head;
mod index;
mod manifest;
mod packed;
mod patcher;
mod span;
mod varint;

pub use archive::{
    DIRECTORY_BYTES, DeltaEntry, DirectoryError, MAX_DELTAS, directory, file_name, parse_directory,
};
pub use bare::{BareBoot, BareKernel};
pub use code::Code;
pub use frame::{
    Effort, FrameStreams, MAX_FRAME_BYTES, MAX_GROUPS, Part, PatchFrame, compress, decoder, memory_bytes,
};
pub use head::{DELTA_HEAD_BYTES, DeltaHead, MAX_INDEX_BYTES};
pub use index::{DeltaIndex, DeltaIndexError, PayloadDelta};
pub use manifest::{DeltaManifest, OldRelease};
pub use packed::{PackedBoot, PackedFrame};
pub use patcher::{Control, OldBytes, PatchError, Patcher};
pub use span::{GROUP_BLOCKS, Span, SpanSource, Spans};
