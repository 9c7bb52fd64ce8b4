//! The executable format of UEFI: headers and section table of a PE32+ file.
//!
//! Source: Microsoft, "PE Format".

mod fields;
mod headers;
mod section;

pub use headers::{MAX_HEADER_BYTES, PeError, PeHeaders};
pub use section::Section;

pub(crate) use fields::put;
pub(super) use headers::at;
