//! Decompression of members, bounded in memory and in what comes out.

use std::{
    fmt,
    io::{self, BufReader, Read},
};

use liblzma::stream::{CONCATENATED, IGNORE_CHECK, Stream};

use super::MemberError;

/// Reads from the package file, and of decompressed bytes, in pieces of this length.
const BUFFER_BYTES: usize = 128 << 10;

/// How a member is compressed. bzip2 and lzma, which deb(5) also has, are in no current archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gzip,
    /// `.tar.xz`
    Xz,
    /// `.tar.zst`
    Zstd,
}

impl Compression {
    /// From what follows `.tar` in the member's name.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "" => Some(Self::None),
            ".gz" => Some(Self::Gzip),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The decompressed bytes of a member. Ends with an error when more than the limit come out.
pub struct Decoder<'a> {
    inner: BufReader<Bounded<Box<dyn Read + Send + 'a>>>,
}

impl<'a> Decoder<'a> {
    /// Decodes `bytes`. At most `expanded` bytes may come out, and about `memory` bytes are used.
    /// Several compressed streams in a row are one, as in `xz` and `gzip`.
    ///
    /// # Errors
    /// When the decoder can't be set up.
    pub fn new(
        bytes: impl Read + Send + 'a,
        compression: Compression,
        expanded: u64,
        memory: u32,
    ) -> Result<Self, MemberError> {
        let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        let decoded: Box<dyn Read + Send + 'a> = match compression {
            Compression::None => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Compression::Xz => {
                // Its own checksum isn't looked at: the package's SHA-256, which the lock names, covers every byte.
                let stream = Stream::new_stream_decoder(memory.into(), CONCATENATED | IGNORE_CHECK)
                    .map_err(|error| MemberError::Read(error.into()))?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(bytes, stream))
            }
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(MemberError::Read)?;
                decoder
                    .window_log_max(memory.max(1).ilog2())
                    .map_err(MemberError::Read)?;
                Box::new(decoder)
            }
        };
        let bounded = Bounded {
            inner: decoded,
            left: expanded,
            limit: expanded,
        };
        Ok(Self {
            inner: BufReader::with_capacity(BUFFER_BYTES, bounded),
        })
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

/// Fails once more than `limit` bytes were read.
struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::other(MemberError::TooLarge(self.limit))),
        }
    }
}
