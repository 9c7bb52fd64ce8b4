//! The boot payload of board `rpi`: a FAT32 that U-Boot's script reads. Like a UKI, it names no slot.

use std::io;

use outcrop_release::{
    arch::Architecture,
    bootrec::Payload,
    fat::{DirectoryEntry, FatError, FatPlan, FatReader, FileSpec, Volume},
    uboot::{self, file},
    verity::BLOCK_BYTES,
};

use super::facts::PayloadFacts;
use crate::read_at::ReadAt;

/// The file with the release's os-release(5).
const OS_RELEASE: &str = "os-release";
/// The file with the kernel's release.
const UNAME: &str = "uname";
/// The volume's name.
const LABEL: &str = "BOOT";
/// Longest text that is read.
const MAX_TEXT_BYTES: u32 = 64 * 1024;

/// What goes into a boot partition.
#[derive(Debug, Clone, Copy)]
pub struct BootPartition<'a> {
    /// The kernel, as `booti` starts it.
    pub linux: &'a [u8],
    /// The initramfs.
    pub initrd: &'a [u8],
    /// The kernel command line.
    pub command_line: &'a str,
    /// os-release(5).
    pub os_release: &'a str,
    /// The kernel's release.
    pub uname: &'a str,
    /// Device trees, each by its path as U-Boot's `fdtfile` says it.
    pub device_trees: &'a [(String, Vec<u8>)],
}

/// A boot partition can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PartitionReadError {
    /// Its file system.
    #[error(transparent)]
    Fat(#[from] FatError),
    /// A file is missing, too long or no text.
    #[error("a boot partition's file {0} is missing, or no text of at most {MAX_TEXT_BYTES} bytes")]
    Text(&'static str),
}

impl BootPartition<'_> {
    /// The start of a FAT32 that is `bytes` long, up to the end of its last file, in whole blocks; behind it all is zero.
    ///
    /// # Errors
    /// When the files don't fit.
    pub fn build(&self, bytes: u64, serial: u32) -> Result<Vec<u8>, FatError> {
        let arguments = uboot::arguments_file(self.command_line);
        let mut files: Vec<(String, &[u8])> = vec![
            (file::KERNEL.to_owned(), self.linux),
            (file::INITRAMFS.to_owned(), self.initrd),
            (file::ARGUMENTS.to_owned(), &arguments),
            (OS_RELEASE.to_owned(), self.os_release.as_bytes()),
            (UNAME.to_owned(), self.uname.as_bytes()),
        ];
        let trees = self.device_trees.iter();
        files.extend(trees.map(|(path, tree)| (format!("{}/{path}", file::DEVICE_TREES), tree.as_slice())));
        let volume = Volume {
            bytes,
            serial,
            label: LABEL,
            // It serves either slot.
            disk_offset: 0,
        };
        fat_image(&volume, &files)
    }

    /// What the boot record says of it.
    #[must_use]
    pub fn parts(&self) -> Payload {
        Payload::of_files(self.linux, self.initrd)
    }
}

/// The start of a FAT32 with these files, up to the end of the last one, in whole blocks; behind it all is zero.
///
/// # Errors
/// When a name is no good, or the files don't fit.
pub fn fat_image(volume: &Volume<'_>, files: &[(String, &[u8])]) -> Result<Vec<u8>, FatError> {
    let specs = files
        .iter()
        .map(|(path, content)| {
            let len = u32::try_from(content.len()).map_err(|_| FatError::Full(path.clone()))?;
            Ok(FileSpec { path, len })
        })
        .collect::<Result<Vec<_>, FatError>>()?;
    let plan = FatPlan::new(volume, &specs)?;
    let mut image = Vec::new();
    for (offset, bytes) in plan.metadata() {
        put(&mut image, offset, &bytes);
    }
    for (path, content) in files {
        if let Some(extent) = plan.extent(path).filter(|extent| extent.len > 0) {
            put(&mut image, extent.start, content);
        }
    }
    image.resize(image.len().next_multiple_of(BLOCK_BYTES), 0);
    Ok(image)
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(place) = image.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

impl PayloadFacts {
    /// Reads a boot partition.
    ///
    /// # Errors
    /// When it isn't one that Outcrop made.
    pub fn of_partition(fat: &FatReader<impl ReadAt>) -> Result<Self, PartitionReadError> {
        let arguments = read(fat, file::ARGUMENTS)?;
        let command_line =
            uboot::arguments_of(&arguments).ok_or(PartitionReadError::Text(file::ARGUMENTS))?;
        let text = |name| {
            let bytes = read(fat, name)?;
            String::from_utf8(bytes).map_err(|_| PartitionReadError::Text(name))
        };
        let mut len = 0;
        for name in ["", file::DEVICE_TREES] {
            for entry in fat.list(name)?.iter().filter(|entry| !entry.is_folder) {
                len = fat
                    .extents(entry)?
                    .iter()
                    .map(|extent| extent.end())
                    .fold(len, u64::max);
            }
        }
        Ok(Self {
            architecture: Architecture::Aarch64,
            os_release: text(OS_RELEASE)?,
            command_line: command_line.to_owned(),
            uname: text(UNAME)?,
            len,
        })
    }
}

fn read(fat: &FatReader<impl ReadAt>, name: &'static str) -> Result<Vec<u8>, PartitionReadError> {
    let short = |entry: &DirectoryEntry| !entry.is_folder && entry.len <= MAX_TEXT_BYTES;
    let entry = fat
        .find(name)?
        .filter(short)
        .ok_or(PartitionReadError::Text(name))?;
    let content = fat.contiguous(&entry)?.ok_or(PartitionReadError::Text(name))?;
    let read = |len| content.read_vec(0, len);
    usize::try_from(entry.len)
        .map_err(io::Error::other)
        .and_then(read)
        .map_err(|source| FatError::Io(source).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn partition<'a>(linux: &'a [u8], trees: &'a [(String, Vec<u8>)]) -> BootPartition<'a> {
        BootPartition {
            linux,
            initrd: b"initramfs",
            command_line: "roothash=00 ro",
            os_release: "ID=edge\n",
            uname: "6.12",
            device_trees: trees,
        }
    }

    #[test]
    fn what_is_built_is_read_and_u_boot_s_files_are_there() {
        let linux = vec![7; 3 << 20];
        let trees = [("broadcom/bcm2711-rpi-4-b.dtb".to_owned(), vec![1, 2, 3])];
        let mut image = partition(&linux, &trees).build(96 * MIB, 5).unwrap();
        assert!(image.len() < 8 << 20 && image.len().is_multiple_of(BLOCK_BYTES));
        image.resize(96 << 20, 0);
        let fat = FatReader::open(image.as_slice()).unwrap();
        let facts = PayloadFacts::of_partition(&fat).unwrap();
        assert_eq!(
            (facts.command_line.as_str(), facts.uname.as_str()),
            ("roothash=00 ro", "6.12")
        );
        assert_eq!(fat.find("kernel").unwrap().unwrap().len, 3 << 20);
        let tree = fat.find("dtbs/broadcom/bcm2711-rpi-4-b.dtb").unwrap().unwrap();
        assert_eq!(
            fat.contiguous(&tree).unwrap().unwrap().read_vec(0, 3).unwrap(),
            [1, 2, 3]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let linux = vec![7; 70 << 20];
        let error = partition(&linux, &[]).build(66 * MIB, 5).unwrap_err();
        assert!(matches!(error, FatError::Full(_)), "{error}");
    }
}
