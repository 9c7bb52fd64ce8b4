//! Grows the data partition while it is in use: the partition table, then what the kernel knows of it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use outcrop_release::partition::Partition;
use rustix::fs::{FlockOperation, flock};

use crate::{
    facts::{self, BootFacts, FactsError},
    gpt::{GptError, GrowError, Step, plan_growth, read_partition_table},
    init::disk::SysBlock,
};

/// The data partition couldn't be grown.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each text says what was being done to what")]
pub enum GrowFailure {
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("understand what outcrop-init left")]
    Facts(#[from] FactsError),
    #[error("{0} is no disk")]
    NoDisk(String),
    #[error("read the partition table of {disk}")]
    Read { disk: String, source: GptError },
    #[error("plan the new partition table of {disk}")]
    Plan { disk: String, source: GrowError },
    #[error("tell the kernel of the new partition: partx ends with {0}")]
    Kernel(ExitStatus),
}

/// Makes the data partition of the boot disk reach the disk's end. The file system in it is systemd-growfs's part.
///
/// # Errors
/// When the disk can't be read or written, or the table isn't one that may be changed.
pub fn grow_data() -> Result<(), GrowFailure> {
    let path = Path::new(facts::FOLDER).join(facts::BOOT_FILE);
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let device = BootFacts::parse(&text)?.disk;
    let path = PathBuf::from(&device);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let disk = SysBlock::new("/sys", "/dev")
        .disk(name)
        .map_err(failed("look at", &path))?;
    let shape = disk.ok_or_else(|| GrowFailure::NoDisk(device.clone()))?.shape;
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    // udev reads a table only while nobody holds this lock. Source: systemd, "Locking Block Device Access".
    flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed("lock", &path)(errno.into()))?;
    let mut read = |offset, buffer: &mut [u8]| file.read_exact_at(buffer, offset);
    let table = read_partition_table(&mut read, shape).map_err(|source| GrowFailure::Read {
        disk: device.clone(),
        source,
    })?;
    let steps = plan_growth(&table, shape).map_err(|source| GrowFailure::Plan { disk: device, source })?;
    execute(&steps, &file).map_err(failed("write the partition table of", &path))?;
    tell_kernel(&path)
}

fn execute(steps: &[Step], disk: &File) -> io::Result<()> {
    steps.iter().try_for_each(|step| match step {
        Step::Write { offset, bytes } => disk.write_all_at(bytes, *offset),
        Step::Flush => disk.sync_all(),
    })
}

fn tell_kernel(disk: &Path) -> Result<(), GrowFailure> {
    let program = Path::new("/usr/bin/partx");
    let number = Partition::Data.number().to_string();
    let mut partx = Command::new(program);
    partx
        .args(["--update", "--nr", &number])
        .arg(disk)
        .stdin(Stdio::null());
    let status = partx.status().map_err(failed("start", program))?;
    if status.success() {
        Ok(())
    } else {
        Err(GrowFailure::Kernel(status))
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GrowFailure {
    let path = path.to_owned();
    move |source| GrowFailure::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_lands_where_it_says() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16).unwrap();
        let write = |offset, bytes: &[u8]| Step::Write {
            offset,
            bytes: bytes.to_vec(),
        };
        execute(&[write(12, b"abcd"), Step::Flush, write(0, b"x")], &file).unwrap();
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"x\0\0\0\0\0\0\0\0\0\0\0abcd");
    }
}
