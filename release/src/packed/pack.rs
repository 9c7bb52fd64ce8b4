//! Packing by a recipe.

use std::io::{self, Write};

use zstd::{Encoder, zstd_safe::CParameter};

use super::{Method, Recipe, RecipeError};

const MIB: u64 = 1 << 20;
/// zstd's `ZSTD_c_overlapLog` for jobs that don't look into the one before. There is none.
const NO_OVERLAP: u32 = 1;

/// Bytes can't be packed by a recipe.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The recipe is for another zstd.
    #[error("pack as it was proved")]
    Recipe(#[from] RecipeError),
    /// zstd takes the parameters not or has no memory, or the destination can't be written to.
    #[error("pack {len} bytes with zstd")]
    Zstd {
        /// Length that the plain bytes should have.
        len: u32,
        /// The cause.
        source: io::Error,
    },
    /// Not as many bytes were written as the recipe says.
    #[error("{found} bytes were to be packed, the recipe is for {expected}")]
    Length {
        /// Bytes that were written.
        found: u64,
        /// What the recipe says.
        expected: u32,
    },
}

/// Packs what is written to it by a recipe, into `W`. It takes [`Recipe::memory_bytes`], and some 20 s for a kernel.
///
/// The plain bytes may come in pieces of any length: the packed ones are the same. Most of those are written to `W` by
/// [`Packer::finish`]. What comes out is not known to be right before its digest was checked.
pub struct Packer<W: Write> {
    encoder: Encoder<'static, W>,
    plain_len: u32,
    written: u64,
}

impl<W: Write> Packer<W> {
    /// A packer for exactly as many bytes as the recipe says.
    ///
    /// # Errors
    /// When another version of zstd proved the recipe, or there is no memory for zstd.
    pub fn new(recipe: &Recipe, out: W) -> Result<Self, PackError> {
        recipe.check_library()?;
        let plain_len = recipe.plain_len().bytes();
        let encoder = encoder(recipe, out).map_err(|source| PackError::Zstd {
            len: plain_len,
            source,
        })?;
        Ok(Self {
            encoder,
            plain_len,
            written: 0,
        })
    }

    /// Ends the frame and hands back where it was written to.
    ///
    /// # Errors
    /// When fewer bytes were written than the recipe says, or the destination can't be written to.
    pub fn finish(self) -> Result<W, PackError> {
        let (found, expected) = (self.written, self.plain_len);
        if found != u64::from(expected) {
            return Err(PackError::Length { found, expected });
        }
        self.encoder.finish().map_err(|source| PackError::Zstd {
            len: expected,
            source,
        })
    }
}

impl<W: Write> Write for Packer<W> {
    /// Refuses bytes past the recipe's length ([`io::ErrorKind::InvalidInput`]).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = u64::from(self.plain_len) - self.written;
        if bytes.len() as u64 > room {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let taken = self.encoder.write(bytes)?;
        self.written += taken as u64;
        Ok(taken)
    }

    /// Does nothing: zstd's own flush would end a block, and so change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encoder<W: Write>(recipe: &Recipe, out: W) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(out, i32::from(recipe.level().number()))?;
    encoder.include_checksum(recipe.checksum())?;
    if recipe.method() == Method::Worker {
        encoder.set_parameter(CParameter::NbWorkers(1))?;
        if let Some(bytes) = job_bytes(recipe) {
            encoder.set_parameter(CParameter::JobSize(bytes))?;
            encoder.set_parameter(CParameter::OverlapSizeLog(NO_OVERLAP))?;
        }
    }
    Ok(encoder)
}

/// A job just longer than the plain bytes, where zstd's own would be longer still: it changes no byte of the one job that
/// there is, but zstd allocates three times the job's length. None where there are several jobs.
fn job_bytes(recipe: &Recipe) -> Option<u32> {
    let longer = (u64::from(recipe.plain_len().bytes()) + 1).next_multiple_of(MIB);
    let one_job = longer < recipe.level().default_job_bytes();
    u32::try_from(longer).ok().filter(|_| one_job)
}
