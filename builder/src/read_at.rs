//! Reading at an offset: from a file, a partition of it, a file inside that, or bytes in memory.

use std::{fs::File, io, os::unix::fs::FileExt as _};

pub use outcrop_release::read_at::{ReadAt, Window};

/// A file, with the length that it had when it was opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    /// Takes an open file or block device image.
    ///
    /// # Errors
    /// When its length can't be asked for.
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_like_the_bytes_in_it() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), b"hello").unwrap();
        let source = FileSource::new(File::open(path.path()).unwrap()).unwrap();
        assert_eq!(
            (source.len(), source.read_vec(1, 3).unwrap()),
            (5, b"ell".to_vec())
        );
        assert!(source.read_vec(3, 3).is_err());
    }
}
