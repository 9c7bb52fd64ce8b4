//! `device.toml` on partition 1 of a disk, as a person at a PC sees and changes it.

#![allow(clippy::unwrap_used, reason = "a harness for tests, which fail by panicking")]

use outcrop_builder::disk::read::DiskImage;
use outcrop_release::{device_config::FILE_NAME, fat::FatReader, partition::Partition, units::Extent};

use crate::{Disk, scenario::place_of_partition};

/// The file's text.
///
/// # Panics
/// When the disk has no such file.
#[must_use]
pub fn device_toml(disk: &Disk) -> String {
    let place = place(disk);
    let bytes = disk
        .read(place.start, usize::try_from(place.len).unwrap())
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Writes `text` over the file, which keeps its length.
///
/// # Panics
/// When the disk has no such file, or a shorter one.
pub fn write_device_toml(disk: &Disk, text: &str) {
    let place = place(disk);
    let mut bytes = text.as_bytes().to_vec();
    let len = usize::try_from(place.len).unwrap();
    assert!(bytes.len() <= len, "{text} is too long");
    bytes.resize(len, b'\n');
    disk.write(place.start, &bytes).unwrap();
}

/// Where it lies.
fn place(disk: &Disk) -> Extent {
    let image = DiskImage::open(disk.raw().unwrap()).unwrap();
    let fat = FatReader::open(image.partition(Partition::Esp).unwrap()).unwrap();
    let entry = fat.find(FILE_NAME).unwrap().unwrap();
    let place = fat.extents(&entry).unwrap()[0];
    let start = place_of_partition(disk.raw().unwrap(), Partition::Esp)
        .unwrap()
        .start;
    Extent {
        start: start + place.start,
        ..place
    }
}
