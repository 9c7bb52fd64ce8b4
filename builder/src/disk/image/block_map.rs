//! The block map beside an image: which blocks must be written to a medium, and their SHA-256.
//!
//! Source: bmap-tools, format 2.0.

use std::fmt::Write as _;

use outcrop_release::digest::FileDigest;

/// Length of a block of the map, in bytes.
pub const BLOCK_BYTES: u64 = 4096;

/// Blocks that must be written, some of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedRange {
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
    /// SHA-256 of the blocks.
    pub digest: FileDigest,
}

/// A block map. What lies outside of its ranges is zero in the image and may be anything on the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// Length of the image, in bytes.
    pub image_bytes: u64,
    /// The ranges, ascending, with gaps between them.
    pub ranges: Vec<MappedRange>,
}

impl BlockMap {
    /// How many bytes must be written.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.last - range.first + 1)
            .sum::<u64>()
            * BLOCK_BYTES
    }

    /// The map as XML, with its own checksum in it, as `bmaptool` reads it.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let unsigned = self.render(&"0".repeat(64));
        let checksum = FileDigest::of(unsigned.as_bytes());
        self.render(&checksum.to_string())
    }

    fn render(&self, checksum: &str) -> String {
        let (bytes, blocks) = (self.image_bytes, self.image_bytes.div_ceil(BLOCK_BYTES));
        let mapped = self.mapped_bytes() / BLOCK_BYTES;
        let mut ranges = String::new();
        for MappedRange { first, last, digest } in &self.ranges {
            // Writing to a string can't fail.
            let _ = writeln!(
                ranges,
                r#"        <Range chksum="{digest}"> {first}-{last} </Range>"#
            );
        }
        format!(
            r#"<?xml version="1.0" ?>
<!-- Blocks that a medium must get: flash with `bmaptool copy`, or with `outcrop flash`. -->
<bmap version="2.0">
    <ImageSize> {bytes} </ImageSize>
    <BlockSize> {BLOCK_BYTES} </BlockSize>
    <BlocksCount> {blocks} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
{ranges}    </BlockMap>
</bmap>
"#
        )
    }
}
