//! Entry after entry, from a stream.

use std::io::{self, Read};

use super::{
    header::{BLOCK_BYTES, Header, HeaderError, Type},
    pax::{MAX_PAX_BYTES, Overrides, PaxError},
};

/// Longest name or link target in a GNU extension header, in bytes. Source: Linux `PATH_MAX`, NUL included.
pub const MAX_NAME_BYTES: u64 = 4096;

/// An entry before anything about its path was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The header, extension headers applied.
    pub header: Header,
    /// Extended attributes.
    pub xattrs: std::collections::BTreeMap<String, Vec<u8>>,
}

/// Why the archive can't be read further. `entry` is the last whole entry before the trouble.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// The stream ends where a block, a body or the end mark belongs.
    #[error("the archive is truncated after {after:?}")]
    Truncated {
        /// The last entry whose header was read.
        after: String,
    },
    /// A block that is no header.
    #[error("after {after:?}")]
    Header {
        /// The last entry whose header was read.
        after: String,
        /// What is wrong.
        source: HeaderError,
    },
    /// An extended header that can't be taken.
    #[error("after {after:?}")]
    Pax {
        /// The last entry whose header was read.
        after: String,
        /// What is wrong.
        source: PaxError,
    },
    /// An extension header longer than any reader needs.
    #[error("an extension header of {size} bytes after {after:?} is too long")]
    ExtensionSize {
        /// The last entry whose header was read.
        after: String,
        /// What the header says.
        size: u64,
    },
    /// A global header, two extension headers of a kind for one entry, or an extension header without an entry.
    #[error("an extension header after {after:?} belongs to no single entry")]
    Extension {
        /// The last entry whose header was read.
        after: String,
    },
    /// A type flag that this reader doesn't know.
    #[error("entry {path:?} is of unknown type {flag:#04x}")]
    Type {
        /// Its name as stated.
        path: String,
        /// Its type flag.
        flag: u8,
    },
    /// A link, device or folder with a body.
    #[error("entry {path:?} has a body of {size} bytes, and only files may")]
    Body {
        /// Its name as stated.
        path: String,
        /// What the header says.
        size: u64,
    },
    /// Something else than zeros after the end mark, or a single zero block.
    #[error("there is something after the end of the archive")]
    AfterEnd,
}

/// What extension headers said about the entry to come.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Overrides>,
}

/// Reads a tar archive from a stream.
#[derive(Debug)]
pub struct TarReader<R> {
    reader: R,
    /// Bytes of the current body that were not read yet.
    body: u64,
    /// Bytes between the body's end and the next block.
    padding: u64,
    /// Name of the last entry, for errors.
    last: String,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads the archive that begins at `reader`'s position.
    pub const fn new(reader: R) -> Self {
        Self {
            reader,
            body: 0,
            padding: 0,
            last: String::new(),
            ended: false,
        }
    }

    /// The next entry; none after the end mark, once everything after it was found to be zeros.
    /// What is left of the current body is skipped.
    ///
    /// # Errors
    /// When the archive is damaged or odd. The reader is of no use afterwards.
    pub fn next_entry(&mut self) -> Result<Option<RawEntry>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut pending = Pending::default();
        loop {
            self.skip(self.body, self.padding)?;
            let Some(header) = self.header()? else {
                return self.finish(&pending).map(|()| None);
            };
            match header.kind {
                Type::GnuLongName => self.long_text(&header, &mut pending.name)?,
                Type::GnuLongLink => self.long_text(&header, &mut pending.link)?,
                Type::Pax => self.pax(&header, &mut pending.pax)?,
                Type::PaxGlobal => return Err(self.odd_extension()),
                _ => return self.entry(header, pending).map(Some),
            }
        }
    }

    /// Reads from the current entry's body. Gives 0 at its end.
    ///
    /// # Errors
    /// When the stream fails or ends early: the latter is a [`TarError`] inside.
    pub fn read_body(&mut self, buf: &mut [u8]) -> Result<usize, TarError> {
        let wanted = usize::try_from(self.body).map_or(buf.len(), |left| left.min(buf.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = match self.reader.read(&mut buf[..wanted]) {
            Ok(0) => return Err(self.truncated()),
            Ok(read) => read,
            Err(error) => return Err(TarError::Read(error)),
        };
        self.body -= read as u64;
        Ok(read)
    }

    fn entry(&mut self, mut header: Header, pending: Pending) -> Result<RawEntry, TarError> {
        let pax = pending.pax.unwrap_or_default();
        if let Some(name) = pax.path.or(pending.name) {
            header.name = name;
        }
        if let Some(link) = pax.link.or(pending.link) {
            header.link = link;
        }
        header.size = pax.size.unwrap_or(header.size);
        header.uid = pax.uid.unwrap_or(header.uid);
        header.gid = pax.gid.unwrap_or(header.gid);
        let path = String::from_utf8_lossy(&header.name).into_owned();
        match header.kind {
            Type::Unknown(flag) => return Err(TarError::Type { path, flag }),
            Type::File => self.begin_body(header.size),
            _ if header.size != 0 => {
                return Err(TarError::Body {
                    path,
                    size: header.size,
                });
            }
            _ => self.begin_body(0),
        }
        self.last = path;
        Ok(RawEntry {
            header,
            xattrs: pax.xattrs,
        })
    }

    fn begin_body(&mut self, size: u64) {
        let block = BLOCK_BYTES as u64;
        self.body = size;
        self.padding = (block - size % block) % block;
    }

    /// The next header block; none at the end mark's first block.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let block = self.block()?;
        if block == [0; BLOCK_BYTES] {
            return Ok(None);
        }
        Header::parse(&block)
            .map(Some)
            .map_err(|source| TarError::Header {
                after: self.last.clone(),
                source,
            })
    }

    fn block(&mut self) -> Result<[u8; BLOCK_BYTES], TarError> {
        let mut block = [0; BLOCK_BYTES];
        match self.reader.read_exact(&mut block) {
            Ok(()) => Ok(block),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The end mark is two zero blocks; writers pad with more.
    fn finish(&mut self, pending: &Pending) -> Result<(), TarError> {
        if pending.name.is_some() || pending.link.is_some() || pending.pax.is_some() {
            return Err(self.odd_extension());
        }
        if self.block()? != [0; BLOCK_BYTES] {
            return Err(TarError::AfterEnd);
        }
        let mut rest = [0; 4096];
        loop {
            match self.reader.read(&mut rest) {
                Ok(0) => break,
                Ok(read) if rest[..read].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(TarError::AfterEnd),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        self.ended = true;
        Ok(())
    }

    fn skip(&mut self, body: u64, padding: u64) -> Result<(), TarError> {
        // both are lengths of what exists in the stream at most once: the copy ends at the stream's end
        let length = body.saturating_add(padding);
        let skipped = io::copy(&mut (&mut self.reader).take(length), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == length => {
                (self.body, self.padding) = (0, 0);
                Ok(())
            }
            Ok(_) => Err(self.truncated()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A GNU long name: the text, ended by a NUL.
    fn long_text(&mut self, header: &Header, slot: &mut Option<Vec<u8>>) -> Result<(), TarError> {
        let mut text = self.extension(header, MAX_NAME_BYTES)?;
        if text.pop() != Some(0) || text.contains(&0) || slot.is_some() {
            return Err(self.odd_extension());
        }
        *slot = Some(text);
        Ok(())
    }

    fn pax(&mut self, header: &Header, slot: &mut Option<Overrides>) -> Result<(), TarError> {
        let body = self.extension(header, MAX_PAX_BYTES)?;
        let overrides = Overrides::parse(&body).map_err(|source| TarError::Pax {
            after: self.last.clone(),
            source,
        })?;
        match slot.replace(overrides) {
            None => Ok(()),
            Some(_) => Err(self.odd_extension()),
        }
    }

    /// The body of an extension header. Its length is checked before anything is allocated.
    fn extension(&mut self, header: &Header, limit: u64) -> Result<Vec<u8>, TarError> {
        if header.size > limit {
            return Err(TarError::ExtensionSize {
                after: self.last.clone(),
                size: header.size,
            });
        }
        self.begin_body(header.size);
        let mut body = Vec::new();
        let read = (&mut self.reader).take(header.size).read_to_end(&mut body);
        match read {
            Ok(read) if read as u64 == header.size => {
                self.body = 0;
                Ok(body)
            }
            Ok(_) => Err(self.truncated()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> TarError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => self.truncated(),
            _ => TarError::Read(error),
        }
    }

    fn truncated(&self) -> TarError {
        TarError::Truncated {
            after: self.last.clone(),
        }
    }

    fn odd_extension(&self) -> TarError {
        TarError::Extension {
            after: self.last.clone(),
        }
    }
}
