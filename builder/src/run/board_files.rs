//! What QEMU needs of a Raspberry Pi's partition 1: the firmware isn't emulated, so QEMU itself starts U-Boot.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::read_at::ReadAt as _;

use super::RunError;
use crate::disk::read::DiskImage;

/// U-Boot, as `config.txt` names it.
const U_BOOT: &str = "u-boot.bin";
/// The device tree of the board that QEMU emulates.
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";

/// Files of partition 1, taken out of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardFiles {
    /// U-Boot.
    pub u_boot: PathBuf,
    /// The board's device tree.
    pub device_tree: PathBuf,
}

impl BoardFiles {
    /// Takes them out of partition 1 of `image`, into `folder`.
    ///
    /// # Errors
    /// When one isn't there, or can't be written.
    pub fn take(image: &DiskImage, folder: &Path) -> Result<Self, RunError> {
        let take = |name: &str| {
            let path = folder.join(name);
            let failed = |source| RunError::Prepare {
                path: path.clone(),
                source,
            };
            let bytes = read(image, name).map_err(failed)?;
            fs::write(&path, bytes).map_err(failed)?;
            Ok(path)
        };
        Ok(Self {
            u_boot: take(U_BOOT)?,
            device_tree: take(DEVICE_TREE)?,
        })
    }
}

fn read(image: &DiskImage, name: &str) -> io::Result<Vec<u8>> {
    let esp = image.esp().map_err(io::Error::other)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("partition 1 has no {name}"));
    let entry = esp.find(name).map_err(io::Error::other)?.ok_or_else(missing)?;
    let content = esp
        .contiguous(&entry)
        .map_err(io::Error::other)?
        .ok_or_else(missing)?;
    content.read_vec(0, usize::try_from(entry.len).map_err(io::Error::other)?)
}
