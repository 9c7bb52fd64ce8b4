//! A booted stick installs itself: what runs is copied to another disk, which becomes a device of its own.
//!
//! The other disk's first sectors go last, after everything else is on the medium and was read back: a copy that was cut short never looks
//! bootable. Nothing on the disk that runs is changed.

mod copy;
mod error;
mod plan;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use outcrop_release::{
    bootrec::BootRecord,
    data_file_system::{self, mke2fs_arguments},
    device_config::FILE_NAME,
    slot::Slot,
    units::Extent,
};
use rustix::{
    fs::OFlags,
    rand::{GetRandomFlags, getrandom},
};
use uuid::Uuid;

use copy::Copier;
pub use error::ToDiskError;
pub use plan::{Plan, Range, plan};

use crate::{
    block_disk::DirectFile,
    gpt::{Duplicate, MBR_BYTES, PartitionTable, Shape, Step, duplicate, read_partition_table},
};

/// Makes file systems.
const MKE2FS: &str = "/usr/sbin/mke2fs";
/// What an older system on the disk begins and ends with is wiped that far, in bytes.
const WIPED_BYTES: u64 = 1 << 20;

/// What is installed where.
#[derive(Debug)]
pub struct ToDisk<'a> {
    /// The disk that runs.
    pub from: &'a Path,
    /// The disk that everything on it is lost of.
    pub to: &'a Path,
    /// The running slot.
    pub slot: Slot,
    /// The boot record of the disk that runs.
    pub record: &'a BootRecord,
    /// The configuration that is in force, with its secrets, for the other disk's partition 1.
    pub configuration: Option<&'a str>,
    /// A folder for a small file.
    pub scratch: &'a Path,
}

/// How far it is.
pub trait Listen {
    /// `done` of `total` bytes were `doing` ("copy", "check"). False stops: the other disk stays unbootable.
    fn advance(&mut self, doing: &'static str, done: u64, total: u64) -> bool;
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ToDiskReport {
    /// The disk.
    pub disk: String,
    /// Bytes that were copied and read back.
    pub copied: u64,
    /// Length of its data partition, in bytes.
    pub data: u64,
}

impl ToDisk<'_> {
    /// Installs. `shape` is the other disk's.
    ///
    /// # Errors
    /// When what runs isn't settled, the other disk is in use, too small or failing. Until the end it doesn't look bootable.
    pub fn run(&self, shape: Shape, listen: &mut dyn Listen) -> Result<ToDiskReport, ToDiskError> {
        let source = File::open(self.from).map_err(ToDiskError::of("open", self.from))?;
        let from_shape = shape_of(&source, self.from)?;
        if from_shape.sector_bytes != shape.sector_bytes {
            return Err(ToDiskError::Sectors {
                from: from_shape.sector_bytes,
                to: shape.sector_bytes,
            });
        }
        let table = table_of(&source, self.from, from_shape)?;
        let plan = plan(&table, from_shape, self.slot, self.record, |extent| {
            let mut block = vec![0; 512];
            source.read_exact_at(&mut block, extent.start).map(|()| block)
        })?;
        let mut mbr = [0; MBR_BYTES];
        source
            .read_exact_at(&mut mbr, 0)
            .map_err(ToDiskError::of("read", self.from))?;
        let made = duplicate(&table, &mbr, shape, random_guid()?).map_err(|source| ToDiskError::Table {
            disk: self.to.to_owned(),
            source,
        })?;
        // The kernel refuses this for a disk of which anything is in use. Source: open(2), "O_EXCL".
        let mut options = File::options();
        options.read(true).write(true);
        let claimed = options
            .clone()
            .custom_flags(OFlags::EXCL.bits().cast_signed())
            .open(self.to)
            .map_err(|source| self.claim_error(source))?;
        let direct = DirectFile::open(self.to, &mut options).map_err(ToDiskError::of("open", self.to))?;
        let mut copier = Copier {
            source: &source,
            from: self.from,
            target: &direct,
            to: self.to,
            listen,
            total: plan.copied_bytes(),
            done: 0,
        };
        self.fill(&plan, shape, &mut copier)?;
        // mke2fs claims it itself.
        drop(claimed);
        self.make_data(made.data)?;
        self.finish(&mut copier, &made)?;
        Ok(ToDiskReport {
            disk: self.to.display().to_string(),
            copied: plan.copied_bytes(),
            data: made.data.len,
        })
    }

    /// Everything but the data partition and what makes the disk one.
    fn fill(&self, plan: &Plan, shape: Shape, copier: &mut Copier<'_>) -> Result<(), ToDiskError> {
        // Both copies of an older table: firmware may believe the one at the end.
        let end = shape.bytes.saturating_sub(WIPED_BYTES);
        for start in [0, end] {
            let len = WIPED_BYTES.min(shape.bytes - start);
            copier.zero(Extent { start, len })?;
        }
        copier.flush()?;
        for zeroed in &plan.zeroed {
            copier.zero(*zeroed)?;
        }
        for range in &plan.copied {
            copier.copy(range)?;
        }
        for (at, bytes) in &plan.written {
            copier.write(*at, bytes)?;
        }
        copier.flush()?;
        copier.check(plan)?;
        if let Some(text) = self.configuration {
            copier.configure(plan.partition_1, text)?;
        }
        Ok(())
    }

    fn claim_error(&self, source: io::Error) -> ToDiskError {
        if source.kind() == io::ErrorKind::ResourceBusy {
            ToDiskError::InUse(self.to.to_owned())
        } else {
            ToDiskError::of("open", self.to)(source)
        }
    }

    /// The copy of the table at the end, then the disk's beginning.
    fn finish(&self, copier: &mut Copier<'_>, made: &Duplicate) -> Result<(), ToDiskError> {
        for step in made.backup.iter().chain(&made.primary) {
            match step {
                Step::Write { offset, bytes } => copier.write(*offset, bytes)?,
                Step::Flush => copier.flush()?,
            }
        }
        copier.flush()
    }

    /// An empty data partition.
    fn make_data(&self, data: Extent) -> Result<(), ToDiskError> {
        let config = self.scratch.join("mke2fs.conf");
        fs::write(&config, data_file_system::CONFIG).map_err(ToDiskError::of("write", &config))?;
        let output = Command::new(MKE2FS)
            .env("MKE2FS_CONFIG", &config)
            .args(mke2fs_arguments(&format!("offset={},nodiscard", data.start)))
            .arg(self.to)
            .arg((data.len / data_file_system::BLOCK_BYTES).to_string())
            .stdin(Stdio::null())
            .output()
            .map_err(ToDiskError::of("run mke2fs for", self.to))?;
        if output.status.success() {
            let disk = File::open(self.to).and_then(|disk| disk.sync_all());
            return disk.map_err(ToDiskError::of("flush", self.to));
        }
        Err(ToDiskError::Mke2fs {
            disk: self.to.to_owned(),
            told: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// Sizes of an opened disk, or of an image of one.
///
/// # Errors
/// When they can't be had.
pub fn shape_of(file: &File, path: &Path) -> Result<Shape, ToDiskError> {
    use std::io::{Seek as _, SeekFrom};
    let mut end = file;
    let failed = ToDiskError::of("find the end of", path);
    let bytes = end.seek(SeekFrom::End(0)).map_err(failed)?;
    // An image's sectors are taken for 512 bytes.
    let sector_bytes = rustix::fs::ioctl_blksszget(file).unwrap_or(512);
    Ok(Shape { sector_bytes, bytes })
}

fn table_of(file: &File, path: &Path, shape: Shape) -> Result<PartitionTable, ToDiskError> {
    let mut read = |offset, buffer: &mut [u8]| file.read_exact_at(buffer, offset);
    read_partition_table(&mut read, shape).map_err(|source| ToDiskError::Read {
        disk: path.to_owned(),
        source,
    })
}

/// Makes random names: version 4. Source: RFC 9562, section 5.4.
fn random_guid() -> Result<impl FnMut() -> Uuid, ToDiskError> {
    // Enough for a disk and its partitions, had before anything is written.
    let mut bytes = [0; 16 * 32];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| ToDiskError::Random(errno.into()))?;
    let mut at = 0;
    Ok(move || {
        let own = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
        at += 16;
        uuid::Builder::from_random_bytes(own.unwrap_or_default()).into_uuid()
    })
}

/// The file on partition 1 that is written anew.
const CONFIGURATION: &str = FILE_NAME;

#[cfg(test)]
mod tests;
