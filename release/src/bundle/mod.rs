//! The bundle: one file that carries a release, an uncompressed tar archive whose members have a fixed order.
//!
//! ```text
//! manifest.json     what the release is, with the digests of the members below
//! signatures.json   who signed the manifest
//! index             frame table: where each frame of the payloads lies, and its digest
//! verity            hash trees: the boot payload's, then the root's
//! boot              zstd frames of the boot payload
//! root              zstd frames of the root file system
//! ```
//! A device needs the first two to decide, parts of the next two to know what it lacks, and then fetches the frames that hold it.

mod archive;
mod head;
mod index;
mod unpack;

pub use archive::{
    ArchiveError, BLOCK_BYTES as ARCHIVE_BLOCK_BYTES, MemberName, PayloadName, Place, end, header,
    parse_header,
};
pub(crate) use head::Beginning;
pub use head::{HEAD_BYTES, Head, HeadError, Layout};
pub use index::{
    EncodedIndex, Frame, FrameTable, Index, IndexError, MAX_FRAME_BLOCKS, PAGE_FRAMES, PREFIX_BYTES,
    PageTable, PlacedFrame, TopTable,
};
pub use unpack::{FRAME_WINDOW_LOG, unpack_frame};
