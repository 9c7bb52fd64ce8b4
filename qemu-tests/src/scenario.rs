//! What scenarios share: a test per architecture, how long things take, where bytes of a file lie on the disk.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Duration};

use outcrop_builder::{
    boot::pe::{MAX_HEADER_BYTES, PeHeaders},
    disk::read::DiskImage,
    erofs::{Node, Reader},
    run::accel::Accelerator,
    tree::TreePath,
};
use outcrop_release::{arch::Architecture, partition::Partition, slot::Slot, units::Extent};

use crate::{Error, Guest, Shell};

/// Bytes that are compared at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// What the boot report prints when everything came up.
pub const HEALTHY: &str = "outcrop: healthy: ";
/// What it prints when something didn't.
pub const DEGRADED: &str = "outcrop: degraded: ";

/// Defines a test for each architecture: `x86_64::NAME` and `aarch64::NAME`. On aarch64 those behind the semicolon wait for `cargo xtask soak`.
#[macro_export]
macro_rules! on_both_architectures {
    ($($name:ident),+ $(,)? $(; aarch64 in the soak: $($late:ident),+ $(,)?)?) => {
        mod x86_64 {
            $(#[test] fn $name() { super::$name(outcrop_release::arch::Architecture::X86_64); })+
            $($(#[test] fn $late() { super::$late(outcrop_release::arch::Architecture::X86_64); })+)?
        }
        mod aarch64 {
            $(#[test] fn $name() { super::$name(outcrop_release::arch::Architecture::Aarch64); })+
            $($(
                #[test]
                #[ignore = "the soak's: x86_64 shows it for every change"]
                fn $late() { super::$late(outcrop_release::arch::Architecture::Aarch64); }
            )+)?
        }
    };
}

/// How long a boot may take: generous, since emulation on a busy machine is slow; a hang is what it must catch.
#[must_use]
pub fn boot_time(architecture: Architecture) -> Duration {
    match Accelerator::probe(architecture) {
        Accelerator::Kvm => Duration::from_secs(60),
        Accelerator::Tcg => Duration::from_secs(600),
    }
}

/// Waits until the boot report says that all is well; returns its line.
///
/// # Errors
/// When it says otherwise, or nothing in time.
pub fn wait_healthy(guest: &mut Guest) -> Result<String, Error> {
    let limit = boot_time(guest.architecture);
    let (which, line) = guest.console.expect_any(&[HEALTHY, DEGRADED], limit)?;
    if which == 0 {
        Ok(line)
    } else {
        Err(Error::Degraded {
            line,
            console: guest.console.text(),
        })
    }
}

/// Waits until the machine has come up and opens the serial shell (of a development image).
///
/// # Errors
/// When the machine doesn't come up whole, or the shell doesn't answer.
pub fn healthy_shell(guest: &mut Guest) -> Result<Shell<'_>, Error> {
    wait_healthy(guest)?;
    let limit = boot_time(guest.architecture);
    Shell::open(&mut guest.console, limit)
}

/// Shuts the system down from its serial shell: the scenarios' releases have nobody who hears the power button.
///
/// # Errors
/// When the shell doesn't answer, or the machine doesn't go off.
pub fn shut_down(mut guest: Guest) -> Result<(), Error> {
    let limit = boot_time(guest.architecture);
    let mut shell = Shell::open(&mut guest.console, limit)?;
    // The shell goes away before it can say how that ended.
    let _ = shell.status("systemctl poweroff", Duration::from_secs(2));
    guest.wait_off(Duration::from_secs(300))
}

/// Where the first block of a file of slot A's root lies on the disk, in bytes from its start.
///
/// # Errors
/// When the image can't be read or has no such file with a block of its own.
pub fn offset_of_file(image: &Path, file: &str) -> Result<u64, Error> {
    let disk = open(image)?;
    let root = Partition::Root(Slot::A);
    let reader = Reader::open(disk.partition(root).map_err(Error::image)?).map_err(Error::image)?;
    let path: TreePath = file.parse().map_err(Error::image)?;
    match reader.find(&path).map_err(Error::image)?.map(|entry| entry.node) {
        Some(Node::File { extents, .. }) if !extents.is_empty() => {
            Ok(offset_of_partition(image, root)? + extents[0].offset)
        }
        _ => Err(Error::image(format!(
            "no file {path} with bytes in {}",
            image.display()
        ))),
    }
}

/// Where a partition begins, in bytes from the disk's start.
///
/// # Errors
/// When the image can't be read.
pub fn offset_of_partition(image: &Path, partition: Partition) -> Result<u64, Error> {
    Ok(place_of_partition(image, partition)?.start)
}

/// Where a partition lies on the disk, in bytes from its start.
///
/// # Errors
/// When the image can't be read.
pub fn place_of_partition(image: &Path, partition: Partition) -> Result<Extent, Error> {
    let disk = open(image)?;
    let entry = disk.table().entry(partition.number());
    let entry = entry.ok_or_else(|| Error::image(format!("no partition {}", partition.label())))?;
    Ok(entry.extent)
}

/// Where a slot's boot payload begins, in bytes from the disk's start.
///
/// # Errors
/// When the image can't be read, or its file isn't there.
pub fn offset_of_boot_payload(image: &Path, slot: Slot) -> Result<u64, Error> {
    let path = format!("EFI/Linux/{}", slot.uki_file_name());
    Ok(place_of_boot_file(image, &path)?.start)
}

/// Where a file of partition 1 lies on the disk, in bytes from its start.
///
/// # Errors
/// When the image can't be read, or the file isn't there in one piece.
pub fn place_of_boot_file(image: &Path, path: &str) -> Result<Extent, Error> {
    let fat = open(image)?.esp().map_err(Error::image)?;
    let file = fat.find(path).map_err(Error::image)?;
    let file = file.ok_or_else(|| Error::image(format!("no file {path}")))?;
    match fat.extents(&file).map_err(Error::image)?.as_slice() {
        [only] => Ok(Extent {
            start: offset_of_partition(image, Partition::Esp)? + only.start,
            len: only.len,
        }),
        extents => Err(Error::image(format!("{path} is in {} pieces", extents.len()))),
    }
}

/// Where a section of a slot's boot payload lies: its offset from the disk's start and its length, in bytes.
///
/// # Errors
/// When the image can't be read, or the payload isn't a program with that section.
pub fn section_of_boot_payload(image: &Path, slot: Slot, section: &str) -> Result<Extent, Error> {
    let start = offset_of_boot_payload(image, slot)?;
    let mut head = vec![0; MAX_HEADER_BYTES];
    let read = open_file(image)?.read_exact_at(&mut head, start);
    read.map_err(Error::io("read the boot payload"))?;
    let headers = PeHeaders::parse(&head, u64::MAX).map_err(Error::image)?;
    let found = headers.section(section);
    let content = found
        .ok_or_else(|| Error::image(format!("no section {section}")))?
        .content();
    Ok(Extent {
        start: start + content.start,
        len: content.end - content.start,
    })
}

/// Labels of the partitions whose bytes differ between an image and a disk that began as its copy. A partition that has
/// grown is compared as far as the image goes.
///
/// # Errors
/// When one of them can't be read.
pub fn differing_partitions(image: &Path, disk: &Path) -> Result<Vec<String>, Error> {
    let table = open(image)?;
    let (image, disk) = (open_file(image)?, open_file(disk)?);
    let mut labels = Vec::new();
    for entry in &table.table().entries {
        if differ(&image, &disk, entry.extent.start, entry.extent.len)? {
            labels.push(entry.label.clone());
        }
    }
    Ok(labels)
}

/// Where the first instruction of a slot's kernel lies on the disk, in bytes from its start. Only of x86_64's kernels, whose
/// sections lie in memory as they lie in the file.
///
/// # Errors
/// When the image can't be read, or has no such kernel.
pub fn kernel_entry(image: &Path, slot: Slot) -> Result<u64, Error> {
    // Source: Microsoft PE Format, "MS-DOS Stub", "Optional Header Standard Fields".
    const PE_OFFSET: u64 = 0x3c;
    const ENTRY_POINT: u64 = 24 + 16;
    let kernel = section_of_boot_payload(image, slot, ".linux")?;
    let file = open_file(image)?;
    let number = |at: u64| {
        let mut bytes = [0; 4];
        let read = file.read_exact_at(&mut bytes, kernel.start + at);
        read.map_err(Error::io("read the kernel"))?;
        Ok::<_, Error>(u64::from(u32::from_le_bytes(bytes)))
    };
    let entry = number(number(PE_OFFSET)? + ENTRY_POINT)?;
    if entry >= kernel.len {
        return Err(Error::image("the kernel's entry point is not in the kernel"));
    }
    Ok(kernel.start + entry)
}

fn differ(one: &File, two: &File, start: u64, len: u64) -> Result<bool, Error> {
    let (mut left, mut right) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut at = start;
    while at < start + len {
        let count = CHUNK_BYTES.min(usize::try_from(start + len - at).unwrap_or(CHUNK_BYTES));
        let (left, right) = (&mut left[..count], &mut right[..count]);
        one.read_exact_at(left, at).map_err(Error::io("read the image"))?;
        two.read_exact_at(right, at).map_err(Error::io("read the disk"))?;
        if left != right {
            return Ok(true);
        }
        at += count as u64;
    }
    Ok(false)
}

fn open(image: &Path) -> Result<DiskImage, Error> {
    DiskImage::open(image).map_err(Error::image)
}

fn open_file(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::io("open an image"))
}
