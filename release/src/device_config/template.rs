//! The commented file that lies on partition 1 of each image, and that `outcrop device new` writes.

use std::iter;

/// Length of the file on partition 1 of an image, in bytes: there is room to write into it in place.
pub const FILE_BYTES: u32 = 16 << 10;

/// Every key, in comments.
const TEMPLATE: &str = include_str!("template.toml");

/// The file's text; with `padded`, as long as the file on partition 1, with line ends.
#[must_use]
pub fn template(padded: bool) -> String {
    let missing = if padded {
        (FILE_BYTES as usize).saturating_sub(TEMPLATE.len())
    } else {
        0
    };
    let mut text = TEMPLATE.to_owned();
    text.extend(iter::repeat_n('\n', missing));
    text
}
