//! Which bytes of the bundle are asked for together.

use crate::bundle::FrameTable;

/// Bytes of a member, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// The ranges that hold these frames (ascending numbers). Frames are asked for together when at most `gap` bytes that
/// nobody wants lie between them: a request costs about as much as that many bytes.
#[must_use]
pub fn coalesce(table: &FrameTable, frames: impl Iterator<Item = usize>, gap: u64) -> Vec<ByteRange> {
    let mut ranges: Vec<ByteRange> = Vec::new();
    for number in frames {
        let (Some((_, start)), Some(frame)) = (table.start(number), table.frames().get(number)) else {
            continue;
        };
        let end = start + u64::from(frame.bytes);
        match ranges.last_mut() {
            Some(last) if start.saturating_sub(last.end) <= gap => last.end = end,
            _ => ranges.push(ByteRange { start, end }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bundle::Frame, digest::FileDigest};

    #[test]
    fn frames_with_little_between_them_are_asked_for_together() {
        let frame = |bytes| Frame {
            blocks: 1,
            bytes,
            sha256: FileDigest::of(b""),
        };
        let table = FrameTable::new([10, 20, 30, 40, 50].map(frame).to_vec()).unwrap();
        let ranges = |frames: &[usize], gap| {
            let ranges = coalesce(&table, frames.iter().copied(), gap);
            ranges
                .into_iter()
                .map(|range| (range.start, range.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges(&[0, 1, 3], 0), [(0, 30), (60, 100)]);
        assert_eq!(ranges(&[0, 1, 3], 30), [(0, 100)]);
        assert_eq!(ranges(&[0, 1, 3], 29), [(0, 30), (60, 100)]);
        assert_eq!(ranges(&[], 0), []);
        assert_eq!(ranges(&[4, 5], 0), [(100, 150)]);
    }
}
