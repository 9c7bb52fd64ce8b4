//! Reading a block map, ours or one of bmap-tools.

use outcrop_release::digest::FileDigest;

use super::block_map::{BLOCK_BYTES, BlockMap, MappedRange};

/// Longest image that a map may speak of: 1 EiB.
const MAX_IMAGE_BYTES: u64 = 1 << 60;

/// Bytes that are no block map.
#[derive(Debug, thiserror::Error)]
pub enum BlockMapError {
    /// Not UTF-8.
    #[error("it is no text")]
    Text(#[source] std::str::Utf8Error),
    /// Not XML.
    #[error("it is no XML")]
    Xml(#[source] roxmltree::Error),
    /// An element is missing, or has a value that makes no sense.
    #[error("its element {0} is missing, or makes no sense")]
    Element(&'static str),
    /// The map's own sum.
    #[error("its own checksum doesn't match: it is damaged")]
    Checksum,
    /// Ranges out of order, or outside of the image.
    #[error("its ranges overlap, or lie outside of the image")]
    Ranges,
}

impl BlockMap {
    /// Reads a map of format 2 with SHA-256 sums.
    ///
    /// # Errors
    /// See [`BlockMapError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BlockMapError> {
        let text = str::from_utf8(bytes).map_err(BlockMapError::Text)?;
        let document = roxmltree::Document::parse(text).map_err(BlockMapError::Xml)?;
        let root = document.root_element();
        let is_known = root.has_tag_name("bmap")
            && root
                .attribute("version")
                .is_some_and(|version| version.starts_with("2."));
        if !is_known {
            return Err(BlockMapError::Element("bmap"));
        }
        let value = |name: &'static str| {
            let element = root.children().find(|child| child.has_tag_name(name));
            let text = element.and_then(|element| element.text()).map(str::trim);
            text.ok_or(BlockMapError::Element(name))
        };
        let number = |name| value(name)?.parse().map_err(|_| BlockMapError::Element(name));
        let image_bytes: u64 = number("ImageSize")?;
        if number("BlockSize")? != BLOCK_BYTES {
            return Err(BlockMapError::Element("BlockSize"));
        }
        if value("ChecksumType")? != "sha256" || image_bytes > MAX_IMAGE_BYTES {
            return Err(BlockMapError::Element("ChecksumType"));
        }
        // The sum is over the text in which the sum itself is all zeros.
        let sum = value("BmapFileChecksum")?;
        let zeros = "0".repeat(sum.len());
        if FileDigest::of(text.replacen(sum, &zeros, 1).as_bytes()).to_string() != sum {
            return Err(BlockMapError::Checksum);
        }
        let map = root.children().find(|child| child.has_tag_name("BlockMap"));
        let map = map.ok_or(BlockMapError::Element("BlockMap"))?;
        let ranges = map.children().filter(|child| child.has_tag_name("Range"));
        let ranges = ranges.map(|range| parse_range(&range).ok_or(BlockMapError::Element("Range")));
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        let blocks = image_bytes.div_ceil(BLOCK_BYTES);
        let mut next = 0;
        for range in &ranges {
            if range.first < next || range.last < range.first || range.last >= blocks {
                return Err(BlockMapError::Ranges);
            }
            next = range.last + 1;
        }
        Ok(Self { image_bytes, ranges })
    }
}

fn parse_range(range: &roxmltree::Node<'_, '_>) -> Option<MappedRange> {
    let text = range.text()?.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(MappedRange {
        first: first.trim().parse().ok()?,
        last: last.trim().parse().ok()?,
        digest: range.attribute("chksum")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(gaps: &[(u64, u64)]) -> BlockMap {
        let (mut next, mut ranges) = (0, Vec::new());
        for &(gap, len) in gaps {
            let first = next + gap;
            ranges.push(MappedRange {
                first,
                last: first + len,
                digest: FileDigest::of(&first.to_le_bytes()),
            });
            next = first + len + 2;
        }
        BlockMap {
            image_bytes: (next + 7) * BLOCK_BYTES,
            ranges,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(gaps in proptest::collection::vec((0_u64..1000, 0_u64..1000), 0..20)) {
            let map = map(&gaps);
            prop_assert_eq!(BlockMap::parse(map.to_xml().as_bytes()).unwrap(), map);
        }

        #[test]
        fn a_changed_byte_never_gives_another_map(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let map = map(&[(0, 4), (10, 99)]);
            let mut bytes = map.to_xml().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(read) = BlockMap::parse(&bytes) {
                prop_assert_eq!(read, map);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = BlockMap::parse(&bytes);
        }
    }

    #[test]
    fn ranges_out_of_order_or_outside_are_refused() {
        let mut wrong = map(&[(0, 4), (10, 9)]);
        wrong.ranges.swap(0, 1);
        assert!(matches!(
            BlockMap::parse(wrong.to_xml().as_bytes()),
            Err(BlockMapError::Ranges)
        ));
        let mut outside = map(&[(0, 4)]);
        outside.image_bytes = 4 * BLOCK_BYTES;
        assert!(matches!(
            BlockMap::parse(outside.to_xml().as_bytes()),
            Err(BlockMapError::Ranges)
        ));
    }
}
