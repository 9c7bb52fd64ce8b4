//! A strict tar reader for package members.
//!
//! Formats: v7, ustar (POSIX.1-1988), GNU long names and long link names, binary (base-256) numbers, and PAX
//! extended headers (POSIX.1-2001, `pax`) for `path`, `linkpath`, `size`, `uid`, `gid` and extended attributes
//! (`SCHILY.xattr.`). Refused: sparse files, global PAX headers, unknown PAX keys (they could change the meaning),
//! unknown entry types, a wrong checksum, a missing end, and anything but zeros after the end.
//!
//! Own, because the `tar` crate collects extension headers before they can be bounded, and hides the raw names.

mod header;
mod pax;
mod reader;

pub use header::{BLOCK_BYTES, Header, HeaderError, Type};
pub use pax::{MAX_PAX_BYTES, Overrides, PaxError};
pub use reader::{MAX_NAME_BYTES, RawEntry, TarError, TarReader};
