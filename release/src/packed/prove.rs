//! Proving that a frame can be made again.

use std::io::{self, Write};

use super::{FrameHeader, Level, Method, Packer, PlainLen, Recipe, UnpackError, unpack};

/// The ways of compressing that are tried, the likeliest first: Debian's kernels since trixie are made with threads.
const METHODS: [Method; 2] = [Method::Worker, Method::Single];

/// The recipe that makes `frame` again, byte for byte, from the `plain_len` bytes in it; none when nothing that is tried does.
///
/// Every recipe that is returned was followed, and its result compared. It takes the memory of [`Recipe::memory_bytes`] and as much
/// time as packing, twice when there is no recipe.
///
/// # Errors
/// When `frame` can't be unpacked: [`UnpackError`].
pub fn prove(frame: &[u8], plain_len: PlainLen) -> Result<Option<Recipe>, UnpackError> {
    let plain = unpack(frame, plain_len)?;
    Ok(candidates(frame, plain_len).find(|recipe| makes(recipe, &plain, frame)))
}

fn candidates(frame: &[u8], plain_len: PlainLen) -> impl Iterator<Item = Recipe> {
    let level = |header: FrameHeader| Some((header, Level::of_window(header.window_log)?));
    let known = FrameHeader::parse(frame).ok().and_then(level);
    known.into_iter().flat_map(move |(header, level)| {
        METHODS.map(|method| Recipe::new(level, method, header.checksum, plain_len))
    })
}

/// Whether the recipe makes `frame` of `plain`. What can't be packed here isn't proved.
fn makes(recipe: &Recipe, plain: &[u8], frame: &[u8]) -> bool {
    let pack = || {
        let mut packer = Packer::new(recipe, Expect(frame)).ok()?;
        packer.write_all(plain).ok()?;
        packer.finish().ok()
    };
    pack().is_some_and(|Expect(rest)| rest.is_empty())
}

/// Takes these bytes and no others.
struct Expect<'a>(&'a [u8]);

impl Write for Expect<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
