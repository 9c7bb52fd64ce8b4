//! The executable format of UEFI: headers and section table of a PE32+ file. [`outcrop_release::pe`] reads them.

mod put;

pub use outcrop_release::pe::{MAX_HEADER_BYTES, PeError, PeHeaders, Section};

pub(super) use outcrop_release::pe::at;
pub(crate) use put::put;
