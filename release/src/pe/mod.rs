//! The executable format of UEFI: headers and section table of a PE32+ file.
//!
//! Source: Microsoft, "PE Format".

mod headers;
mod section;

pub use headers::{MAX_HEADER_BYTES, PeError, PeHeaders, at};
pub use section::Section;
