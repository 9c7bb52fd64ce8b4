//! Frames: what a delta holds beside old bytes, in three LZMA streams.
//!
//! Streams are raw LZMA2, without a container: the index has their lengths and digest, and the window's size is fixed for each kind
//! of stream, never the stream's choice, so that a device knows what memory a frame takes. Why LZMA, and these settings:
//! docs/adr/0018-deltas.md. Source for the format: liblzma, "LZMA2".

use std::io::{self, Read, Write};

use liblzma::{
    bufread::XzDecoder,
    stream::{Filters, LzmaOptions, MatchFinder, Stream},
    write::XzEncoder,
};

use super::code::Code;
use crate::digest::FileDigest;

/// Most bytes of a frame as it lies in the data member: a device holds them in memory.
pub const MAX_FRAME_BYTES: u32 = 5 << 20;
/// Most groups of a frame: those of 4 GiB.
pub const MAX_GROUPS: u32 = 8192;
/// liblzma's preset: a quarter of the best one's time, for a twentieth more bytes.
const PRESET: u32 = 6;
/// The preset for what looks like noise, as packed content does: nothing but repetitions is found in it, and those by any.
const NOISE_PRESET: u32 = 0;
/// Two bytes of noise are the same once in 256 times, on average; those of machine code ten times as often. So many percent more still
/// look like noise.
const NOISE_PERCENT: u128 = 102;
/// How many places are looked at for a repetition among differences when it shall be quick.
const QUICK_DEPTH: u32 = 16;
/// What liblzma's decoder needs beside its window, rounded up. Source: `lzma_raw_decoder_memusage`.
const DECODER_BYTES: u64 = 64 << 10;

/// A stream of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Steps.
    Control,
    /// Differences between old and new bytes: zeros, most of them.
    Difference,
    /// New bytes.
    Extra,
}

/// How much time is taken to find repetitions among differences. Readers see no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A binary tree of all places.
    Thorough,
    /// Two thirds of that time, for a thirtieth more bytes: where a stream is tens of megabytes of zeros with something between.
    Quick,
}

/// How a stream is made, and read.
struct Settings {
    window: u32,
    literal_context_bits: u32,
    literal_position_bits: u32,
    position_bits: u32,
}

impl Part {
    /// All, in the order in which they lie in a frame.
    pub const ALL: [Self; 3] = [Self::Control, Self::Difference, Self::Extra];

    const fn settings(self) -> Settings {
        let (window, literal_context_bits, literal_position_bits, position_bits) = match self {
            Self::Control => (256 << 10, 0, 0, 0),
            Self::Difference => (2 << 20, 3, 0, 2),
            Self::Extra => (8 << 20, 3, 0, 2),
        };
        Settings {
            window,
            literal_context_bits,
            literal_position_bits,
            position_bits,
        }
    }

    fn filters(self, preset: u32, effort: Effort) -> io::Result<Filters> {
        let settings = self.settings();
        let mut options = LzmaOptions::new_preset(preset)?;
        match (self, effort) {
            (Self::Difference, Effort::Quick) => {
                options.match_finder(MatchFinder::HashChain4).depth(QUICK_DEPTH);
            }
            (Self::Control | Self::Difference | Self::Extra, _) => {}
        }
        options
            .dict_size(settings.window)
            .literal_context_bits(settings.literal_context_bits)
            .literal_position_bits(settings.literal_position_bits)
            .position_bits(settings.position_bits);
        let mut filters = Filters::new();
        filters.lzma2(&options);
        Ok(filters)
    }
}

/// Most memory that reading a frame takes, its own bytes not counted.
#[must_use]
pub fn memory_bytes() -> u64 {
    let window = |part: Part| u64::from(part.settings().window) + DECODER_BYTES;
    Part::ALL.map(window).iter().sum()
}

/// Compresses a stream; nothing stays nothing. The same bytes give the same stream.
///
/// # Errors
/// When there is no memory.
pub fn compress(part: Part, effort: Effort, bytes: &[u8]) -> io::Result<Vec<u8>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let preset = if is_noise(bytes) { NOISE_PRESET } else { PRESET };
    let encoder = Stream::new_raw_encoder(&part.filters(preset, effort)?)?;
    let mut out = XzEncoder::new_stream(Vec::new(), encoder);
    out.write_all(bytes)?;
    out.finish()
}

/// Whether bytes look as if they were packed already.
fn is_noise(bytes: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let pairs: u128 = counts.iter().map(|count| u128::from(*count).pow(2)).sum();
    let all = u128::try_from(bytes.len()).unwrap_or(u128::MAX >> 64);
    pairs * 256 * 100 < all * all * NOISE_PERCENT
}

/// Reads a stream that [`compress`] made, in the memory that [`memory_bytes`] tells.
///
/// # Errors
/// When there is no memory. What is wrong with the stream is found where it is read.
pub fn decoder(part: Part, bytes: &[u8]) -> io::Result<Box<dyn Read + Send + '_>> {
    if bytes.is_empty() {
        return Ok(Box::new(io::empty()));
    }
    let decoder = Stream::new_raw_decoder(&part.filters(PRESET, Effort::Thorough)?)?;
    Ok(Box::new(io::BufReader::with_capacity(
        16 << 10,
        XzDecoder::new_stream(bytes, decoder),
    )))
}

/// The streams' lengths, in bytes, as they lie in the data member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FrameStreams {
    /// Steps.
    pub control: u32,
    /// Differences.
    pub difference: u32,
    /// New bytes.
    pub extra: u32,
    /// What code is among the new bytes.
    pub code: Code,
}

impl FrameStreams {
    /// Length of the frame; none when it can't be.
    #[must_use]
    pub fn total(&self) -> Option<u32> {
        self.control
            .checked_add(self.difference)?
            .checked_add(self.extra)
            .filter(|total| (1..=MAX_FRAME_BYTES).contains(total))
    }

    /// Decoders of a frame's streams; `bytes` is as long as [`FrameStreams::total`].
    ///
    /// # Errors
    /// When there is no memory, or `bytes` is shorter.
    pub fn decoders<'b>(&self, bytes: &'b [u8]) -> io::Result<[Box<dyn Read + Send + 'b>; 3]> {
        let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let cut = |bytes: &'b [u8], len: u32| bytes.split_at_checked(len as usize).ok_or_else(short);
        let (control, rest) = cut(bytes, self.control)?;
        let (difference, rest) = cut(rest, self.difference)?;
        let (extra, _) = cut(rest, self.extra)?;
        Ok([
            decoder(Part::Control, control)?,
            decoder(Part::Difference, difference)?,
            decoder(Part::Extra, extra)?,
        ])
    }
}

/// A frame: the patched blocks of neighbouring groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatchFrame {
    /// Its first group.
    pub first_group: u32,
    /// How many groups, at least one.
    pub groups: u32,
    /// Its streams.
    pub streams: FrameStreams,
    /// SHA-256 of all its bytes: compared before they are decompressed.
    pub sha256: FileDigest,
}

impl PatchFrame {
    /// The group behind its last one.
    #[must_use]
    pub const fn end_group(&self) -> u32 {
        self.first_group + self.groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_survive_being_compressed(bytes in proptest::collection::vec(0..4_u8, 0..5000)) {
            for part in Part::ALL {
                for effort in [Effort::Thorough, Effort::Quick] {
                    let packed = compress(part, effort, &bytes).unwrap();
                    let mut found = Vec::new();
                    decoder(part, &packed).unwrap().read_to_end(&mut found).unwrap();
                    prop_assert_eq!(&found, &bytes);
                    prop_assert_eq!(compress(part, effort, &bytes).unwrap(), packed);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_stream_or_an_error(bytes: Vec<u8>) {
            for part in Part::ALL {
                let mut taken = vec![0; 1 << 16];
                let _bytes_or_error = decoder(part, &bytes).unwrap().read(&mut taken);
            }
        }
    }

    #[test]
    fn packed_content_looks_like_noise_and_programs_and_text_do_not() {
        let digits = |number: u32| format!("{:x} ", number.wrapping_mul(2_654_435_761)).into_bytes();
        let numbers: Vec<u8> = (0..100_000).flat_map(digits).collect();
        assert!(!is_noise(&numbers));
        assert!(!is_noise(
            &std::fs::read(std::env::current_exe().unwrap()).unwrap()
        ));
        assert!(is_noise(
            &compress(Part::Extra, Effort::Thorough, &numbers).unwrap()
        ));
    }

    #[test]
    fn a_stream_that_is_cut_is_an_error_and_not_a_shorter_one() {
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for part in Part::ALL {
            let packed = compress(part, Effort::Thorough, &bytes).unwrap();
            for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
                let mut found = Vec::new();
                let result = decoder(part, &packed[..cut]).unwrap().read_to_end(&mut found);
                assert!(result.is_err(), "{part:?} {cut}");
            }
        }
    }

    #[test]
    fn frames_that_are_empty_or_too_long_can_t_be_and_reading_one_takes_under_16_mib() {
        let streams = |control, difference, extra| FrameStreams {
            control,
            difference,
            extra,
            code: Code::None,
        };
        assert_eq!(streams(1, 2, 3).total(), Some(6));
        assert_eq!(streams(0, 0, 0).total(), None);
        assert_eq!(streams(MAX_FRAME_BYTES, 0, 1).total(), None);
        assert_eq!(streams(u32::MAX, 1, 1).total(), None);
        assert!(streams(1, 2, 3).decoders(&[0; 5]).is_err());
        assert!(memory_bytes() + u64::from(MAX_FRAME_BYTES) < 16 << 20);
    }
}
