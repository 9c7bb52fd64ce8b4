//! Where an image comes from: a file, compressed or not, standard input, or an address; and what lies beside it.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::PathBuf,
};

use outcrop_release::{
    digest::FileDigest,
    manifest::{ImageManifest, Member},
    trust::{Trust, verify_image},
};

use super::error::FlashError;
use crate::{disk::image::BlockMap, fetch::Transport};

/// Largest block map, manifest or file of signatures that is read.
const MAX_SIDECAR_BYTES: u64 = 16 << 20;
/// How often a broken connection is made anew.
const RETRIES: u32 = 5;
/// Name of an image on standard input.
const STANDARD_INPUT: &str = "-";

/// Whom to believe about an image.
#[derive(Debug, Clone)]
pub enum Trusted {
    /// Those of a trust file.
    By(Box<Trust>),
    /// Anybody.
    Anybody,
    /// Nobody has been named.
    Nobody,
}

/// What lies beside an image.
#[derive(Debug, Clone, Default)]
pub struct Sidecars {
    /// Which blocks must be written.
    pub map: Option<BlockMap>,
    /// Length and digest of the whole image, where they were announced.
    pub image: Option<Member>,
    /// Who signed it; empty when nobody was asked for.
    pub signers: Vec<String>,
}

/// An image that is read from its beginning to its end.
pub struct ImageSource<'t> {
    name: String,
    place: Place<'t>,
    is_compressed: bool,
}

enum Place<'t> {
    File(PathBuf),
    StandardInput,
    Address(&'t dyn Transport),
}

impl<'t> ImageSource<'t> {
    /// The image that `name` means: `-`, an address, or a file.
    pub fn new(name: &str, transport: &'t dyn Transport) -> Self {
        let place = if name == STANDARD_INPUT {
            Place::StandardInput
        } else if name.starts_with("http://") || name.starts_with("https://") {
            Place::Address(transport)
        } else {
            Place::File(name.into())
        };
        Self {
            name: name.to_owned(),
            place,
            is_compressed: name.ends_with(".zst"),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads what lies beside it, and checks who signed that.
    ///
    /// # Errors
    /// When it isn't signed by whom `trusted` says, or what lies beside it contradicts itself.
    pub fn sidecars(&self, trusted: &Trusted) -> Result<Sidecars, FlashError> {
        let plain = self.name.strip_suffix(".zst").unwrap_or(&self.name);
        let manifest = self.beside(&format!("{plain}.manifest.json"))?;
        let mut sidecars = Sidecars::default();
        let manifest = match (trusted, manifest) {
            (Trusted::Nobody, _) => return Err(FlashError::NoTrust(self.name.clone())),
            (Trusted::By(_), None) => return Err(FlashError::Unsigned(self.name.clone())),
            (Trusted::Anybody, None) => None,
            (Trusted::Anybody, Some(bytes)) => {
                let manifest = ImageManifest::parse(&bytes);
                Some(manifest.map_err(|source| FlashError::Manifest {
                    image: self.name.clone(),
                    source,
                })?)
            }
            (Trusted::By(trust), Some(bytes)) => {
                let signatures = self.beside(&format!("{plain}.signatures.json"))?;
                let signatures = signatures.ok_or_else(|| FlashError::Unsigned(self.name.clone()))?;
                let verified =
                    verify_image(&bytes, &signatures, trust).map_err(|source| FlashError::Untrusted {
                        image: self.name.clone(),
                        source,
                    })?;
                sidecars.signers = verified.signers().to_vec();
                Some(verified.manifest().clone())
            }
        };
        let map = plain.strip_suffix(".img").map(|stem| format!("{stem}.bmap"));
        let map = map.map(|name| self.beside(&name)).transpose()?.flatten();
        if let Some(bytes) = map {
            sidecars.map = Some(self.read_map(&bytes, manifest.as_ref())?);
        }
        sidecars.image = manifest.map(|manifest| manifest.image);
        Ok(sidecars)
    }

    fn read_map(&self, bytes: &[u8], manifest: Option<&ImageManifest>) -> Result<BlockMap, FlashError> {
        let map = BlockMap::parse(bytes).map_err(|source| FlashError::Map {
            image: self.name.clone(),
            source,
        })?;
        let is_signed = manifest.is_none_or(|manifest| {
            manifest.block_map.sha256 == FileDigest::of(bytes) && manifest.image.bytes == map.image_bytes
        });
        if is_signed {
            Ok(map)
        } else {
            Err(FlashError::OtherMap(self.name.clone()))
        }
    }

    /// A small file beside the image; none when it isn't there.
    fn beside(&self, name: &str) -> Result<Option<Vec<u8>>, FlashError> {
        let mut bytes = Vec::new();
        let read: Box<dyn Read> = match &self.place {
            Place::StandardInput => return Ok(None),
            Place::File(_) => match File::open(name) {
                Ok(file) => Box::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(source) => {
                    return Err(FlashError::Image {
                        image: name.to_owned(),
                        source,
                    });
                }
            },
            Place::Address(transport) => match get(*transport, name, 0)? {
                Some(body) => body,
                None => return Ok(None),
            },
        };
        read.take(MAX_SIDECAR_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|source| FlashError::Image {
                image: name.to_owned(),
                source,
            })?;
        Ok(Some(bytes))
    }

    /// The image's bytes.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(&self) -> Result<Box<dyn Image + 't>, FlashError> {
        let failed = |source| FlashError::Image {
            image: self.name.clone(),
            source,
        };
        let bytes: Box<dyn Read + Send + 't> = match &self.place {
            Place::File(path) if !self.is_compressed => {
                return Ok(Box::new(FileImage(File::open(path).map_err(failed)?)));
            }
            Place::File(path) => Box::new(File::open(path).map_err(failed)?),
            Place::StandardInput => Box::new(io::stdin()),
            Place::Address(transport) => {
                let body = get(*transport, &self.name, 0)?.ok_or_else(|| FlashError::Status {
                    image: self.name.clone(),
                    status: 404,
                })?;
                Box::new(Resuming {
                    transport: *transport,
                    url: self.name.clone(),
                    body,
                    at: 0,
                    retries: RETRIES,
                })
            }
        };
        // Standard input says by its first bytes what it is. Source: RFC 8878, section 3.1.1.
        let mut bytes = BufReader::with_capacity(1 << 20, bytes);
        let is_zstd = self.is_compressed
            || (matches!(self.place, Place::StandardInput)
                && io::BufRead::fill_buf(&mut bytes)
                    .map_err(failed)?
                    .starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        if is_zstd {
            let decoder = zstd::Decoder::with_buffer(bytes).map_err(failed)?;
            return Ok(Box::new(Stream(decoder)));
        }
        Ok(Box::new(Stream(bytes)))
    }
}

/// The body of an answer; none when there is no such file.
fn get(transport: &dyn Transport, url: &str, from: u64) -> Result<Option<Box<dyn Read + Send>>, FlashError> {
    let answer = transport.get(url, from)().map_err(|source| FlashError::Fetch {
        image: url.to_owned(),
        source,
    })?;
    match (answer.status, from) {
        (200, 0) | (206, 1..) => Ok(Some(answer.body)),
        (404, 0) => Ok(None),
        (status, _) => Err(FlashError::Status {
            image: url.to_owned(),
            status,
        }),
    }
}

/// An answer's body that goes on where a broken connection ended.
struct Resuming<'t> {
    transport: &'t dyn Transport,
    url: String,
    body: Box<dyn Read + Send>,
    at: u64,
    retries: u32,
}

impl Read for Resuming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.read(buffer) {
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.retries == 0 => return Err(error),
                Err(_) => {
                    self.retries -= 1;
                    let anew = get(self.transport, &self.url, self.at).map_err(io::Error::other)?;
                    self.body = anew.ok_or(io::ErrorKind::NotFound)?;
                }
            }
        }
    }
}

/// Bytes of an image, in order.
pub trait Image: Send {
    /// Fills `buffer`; how many bytes there were, fewer only at the image's end.
    ///
    /// # Errors
    /// Whatever holds the image.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Leaves out `count` bytes.
    ///
    /// # Errors
    /// Whatever holds the image.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

struct FileImage(File);

impl Image for FileImage {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut self.0, buffer)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let count = i64::try_from(count).map_err(io::Error::other)?;
        self.0.seek(SeekFrom::Current(count)).map(drop)
    }
}

struct Stream<R>(R);

impl<R: Read + Send> Image for Stream<R> {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut self.0, buffer)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.0).take(count), &mut io::sink())?;
        if skipped == count {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
