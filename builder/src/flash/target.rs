//! What is flashed: a disk, or a plain file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{Advice, FlockOperation, OFlags, fadvise, flock},
    io::Errno,
};

use super::{buffer::AlignedBuffer, error::FlashError};

/// A medium. What was written is on it for sure only after [`Target::flush`].
pub trait Target: Send {
    /// Its length, in bytes.
    fn len(&self) -> u64;

    /// Makes a plain file that wasn't there before `len` bytes long; nothing to do for what has a length.
    ///
    /// # Errors
    /// When there is no room.
    fn make_room(&mut self, len: u64) -> io::Result<()>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes at a multiple of 4096, a multiple of 4096 bytes.
    ///
    /// # Errors
    /// The medium's.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads what the medium itself has, at a multiple of 4096, a multiple of 4096 bytes.
    ///
    /// # Errors
    /// The medium's.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Returns once everything that was written is on the medium.
    ///
    /// # Errors
    /// The medium's.
    fn flush(&mut self) -> io::Result<()>;

    /// Has the kernel read the partition table anew; nothing to do for a file.
    ///
    /// # Errors
    /// When somebody uses one of the old partitions.
    fn reread_table(&mut self) -> io::Result<()>;
}

/// A disk or file that was opened for it alone.
#[derive(Debug)]
pub struct OpenTarget {
    file: File,
    len: u64,
    /// A file that was made just now.
    is_new: bool,
    is_disk: bool,
    /// Whether reads and writes go past the page cache.
    direct: bool,
}

impl OpenTarget {
    /// Opens a disk that nobody else uses, or a plain file, which is made when it isn't there.
    ///
    /// # Errors
    /// When it is in use, or can't be opened.
    pub fn open(path: &Path) -> Result<Self, FlashError> {
        let failed = |doing| {
            move |source| FlashError::Target {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let is_new = !path.exists();
        let is_disk = path
            .metadata()
            .is_ok_and(|facts| facts.file_type().is_block_device());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(is_new);
        // A disk of which a partition is mounted can't be opened so. Source: Linux, open(2), `O_EXCL` on block devices.
        let exclusive = if is_disk { OFlags::EXCL } else { OFlags::empty() };
        let open = |flags: OFlags, options: &mut OpenOptions| {
            options
                .custom_flags(i32::try_from((exclusive | flags).bits()).unwrap_or(0))
                .open(path)
        };
        let opened = open(OFlags::DIRECT, &mut options);
        let (mut file, direct) = match opened {
            // Some file systems, such as tmpfs, know no way past the cache.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => (
                open(OFlags::empty(), &mut options).map_err(failed("open for writing"))?,
                false,
            ),
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                return Err(FlashError::InUse {
                    path: path.to_owned(),
                    by: "something that has it open for itself: a mounted partition, swap, LVM, RAID"
                        .to_owned(),
                });
            }
            opened => (opened.map_err(failed("open for writing"))?, true),
        };
        // udev keeps away while this is held. Source: systemd, "Locking Block Device Access".
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| failed("lock")(errno.into()))?;
        let len = file.seek(SeekFrom::End(0)).map_err(failed("find the end of"))?;
        Ok(Self {
            file,
            len,
            is_new,
            is_disk,
            direct,
        })
    }
}

impl Target for OpenTarget {
    fn len(&self) -> u64 {
        self.len
    }

    fn make_room(&mut self, len: u64) -> io::Result<()> {
        if self.is_new {
            self.file.set_len(len)?;
            self.len = len;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        if !self.direct {
            // As far from the cache as it goes; a hint.
            let _ = fadvise(
                &self.file,
                at,
                std::num::NonZeroU64::new(bytes.len() as u64),
                Advice::DontNeed,
            );
            return self.file.read_exact_at(bytes, at);
        }
        let mut buffer = AlignedBuffer::new(bytes.len());
        self.file.read_exact_at(buffer.bytes_mut(), at)?;
        bytes.copy_from_slice(buffer.bytes());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn reread_table(&mut self) -> io::Result<()> {
        if !self.is_disk {
            return Ok(());
        }
        reread::partition_table(&self.file)
    }
}

mod reread {
    //! The kernel's request to read a partition table anew, which no crate of ours wraps.
    #![allow(
        unsafe_code,
        reason = "rustix leaves the call's safety to us: this one takes no memory of ours"
    )]

    use std::{fs::File, io};

    use rustix::ioctl::{NoArg, ioctl, opcode};

    /// `BLKRRPART`. Source: Linux, `include/uapi/linux/fs.h`.
    const REREAD: u32 = opcode::none(0x12, 95);

    pub(super) fn partition_table(disk: &File) -> io::Result<()> {
        // SAFETY: the request has no argument, and a file that is no disk refuses it.
        unsafe { ioctl(disk, NoArg::<REREAD>::new()) }.map_err(Into::into)
    }
}
